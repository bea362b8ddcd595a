/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/show.h"
#include "core/datadir.h"
#include "store/store.h"

struct request {
	const char *data;
	int64_t attempt; /* 0: the one whose result counts */
	bool raw, json;
};

void show_close_run(struct show_run *r)
{
	free(r->id);
	free(r->shown);
	if (r->fd >= 0)
		close(r->fd);
}

static void auto_run(struct show_run *r)
{
	show_close_run(r);
}

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static DIR *open_dir(int dir_fd, const char *path)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static int ambiguous(const char *prefix, struct strv *found, struct err *err)
{
	AUTO(buf) struct buf some = BUF_INIT;

	strv_sort(found);
	for (size_t i = 0; i < found->n && i < 3; i++)
		buf_addf(&some, "%s%s", i ? ", " : "", found->v[i]);
	return err_set(err, ERR_USAGE, 0, "%zu runs begin with \"%s\": %s%s", found->n, prefix,
		       some.data, found->n > 3 ? ", ..." : "");
}

/* The only run whose id is, or begins with, WORD. */
static int find_run(const struct store *s, const char *word, char **id, struct err *err)
{
	AUTO(strv) struct strv found = STRV_INIT;
	AUTO(dir) DIR *d = NULL;

	if (!word[0] || word[0] == '.' || strchr(word, '/'))
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\" is no run id; see: rollouts summarize NAME", word);
	d = open_dir(s->root_fd, "runs");
	if (!d && errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "%s/runs cannot be read", s->root);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (strcmp(e->d_name, word) == 0) {
			*id = xstrdup(word);
			return 0;
		}
		if (strncmp(e->d_name, word, strlen(word)) == 0)
			strv_push(&found, e->d_name);
	}
	if (!found.n)
		return err_set(err, ERR_USAGE, 0, "%s/runs has no run \"%s\"; see: rollouts list",
			       s->root, word);
	if (found.n > 1)
		return ambiguous(word, &found, err);
	*id = xstrdup(found.v[0]);
	return 0;
}

static int number_of(const char *name)
{
	char *end;
	long n = strtol(name, &end, 10);
	return *end || n < 1 || n > 1000000 ? 0 : (int)n;
}

/* The highest number there is, and the highest with a result: a later one may have been cut short.
 */
static void find_attempts(struct show_run *r)
{
	AUTO(dir) DIR *d = open_dir(r->fd, RUN_ATTEMPTS);

	for (struct dirent *e; d && (e = readdir(d));) {
		int n = number_of(e->d_name);
		AUTO(free) char *result = xasprintf(RUN_ATTEMPTS "/%d/" ATTEMPT_RESULT, n);
		if (n > r->attempts)
			r->attempts = n;
		if (n > r->attempt && path_exists(r->fd, result))
			r->attempt = n;
	}
	if (!r->attempt)
		r->attempt = r->attempts;
}

int show_open_run(const struct store *s, const char *word, int64_t attempt, struct show_run *out,
		  struct err *err)
{
	if (find_run(s, word, &out->id, err))
		return -1;
	out->shown = xasprintf("%s/" DATA_RUNS "/%s", s->root, out->id);
	AUTO(free) char *path = path_join("runs", out->id);
	out->fd = path_open_beneath(s->root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	if (out->fd < 0)
		return -1;
	find_attempts(out);
	if (!out->attempts)
		return err_set(err, ERR_USAGE, 0, "%s was not started yet", out->shown);
	if (attempt > out->attempts)
		return err_set(err, ERR_USAGE, 0, "%s has attempts 1 to %d", out->shown,
			       out->attempts);
	int counts = !attempt && out->attempts > 1 ? show_counting_attempt(out) : 0;
	if (attempt || (counts && counts <= out->attempts))
		out->attempt = attempt ? (int)attempt : counts;
	return 0;
}

static int print(const struct buf *text, bool raw, struct err *err)
{
	AUTO(buf) struct buf safe = BUF_INIT;
	const struct buf *shown = text;

	if (!raw) {
		text_render(&safe, text->data, text->len, TEXT_TERMINAL);
		shown = &safe;
	}
	if (fwrite(shown->data, 1, shown->len, stdout) != shown->len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	bool changed = shown->len != text->len || memcmp(shown->data, text->data, text->len) != 0;
	if (changed && !isatty(STDOUT_FILENO))
		fputs("rollouts: control characters are shown as escapes; --raw gives the exact "
		      "bytes\n",
		      stderr);
	return 0;
}

static const struct show_part *find_part(const char *name, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(buf) struct buf all = BUF_INIT;

	for (size_t i = 0; i < SHOW_PARTS; i++) {
		if (strcmp(show_parts[i].name, name) == 0)
			return &show_parts[i];
		strv_push(&names, show_parts[i].name);
		buf_addf(&all, "%s%s", i ? ", " : "", show_parts[i].name);
	}
	const char *near = text_nearest(name, strv_items(&names));
	(void)err_set(err, ERR_USAGE, 0, "a run has no part \"%s\"%s%s%s; there is: %s", name,
		      near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "",
		      all.data);
	return NULL;
}

static int show_part(const struct show_run *r, const struct show_part *p, const struct request *q,
		     struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	AUTO(free) char *path = xasprintf(RUN_ATTEMPTS "/%d/%s", r->attempt, p->file);
	if (!path_read_beneath(r->fd, path, SHOW_MAX_FILE, &text, err)) {
		AUTO(buf) struct buf made = BUF_INIT;
		if (!text.len)
			fprintf(stderr, "rollouts: %s (%s/%s is empty)\n",
				p->none ? p->none : "nothing there", r->shown, path);
		if (!p->make || q->json)
			return print(&text, q->raw, err);
		if (p->make(&made, &text, err))
			return err_wrap(err, "%s/%s", r->shown, path);
		return print(&made, q->raw, err);
	}
	if (err->sys == ENOENT)
		return err_set(
			err, ERR_USAGE, 0,
			"%s/%s does not exist: this attempt has none, or did not get that far",
			r->shown, path);
	return -1;
}

static char *describe_parts(void)
{
	struct buf text = BUF_INIT;

	buf_adds(&text, "Without a part: what happened, in short. The parts:\n");
	for (size_t i = 0; i < SHOW_PARTS; i++)
		buf_addf(&text, "  %-10s %s\n", show_parts[i].name, show_parts[i].help);
	buf_adds(&text, "Control characters in them are shown as escapes, unless --raw is given.");
	return buf_detach(&text);
}

static int show(const struct store *s, const struct strv *operands, const struct request *q,
		struct err *err)
{
	AUTO(run) struct show_run r = {.store = s, .fd = -1};

	const struct show_part *p = operands->n > 1 ? find_part(operands->v[1], err) : NULL;

	if (operands->n > 1 && !p)
		return -1;
	if (q->json && !(p && p->is_json))
		return err_set(err, ERR_USAGE, 0,
			       "--json: of a run's parts, llm and result are JSON");
	if (show_open_run(s, operands->v[0], q->attempt, &r, err))
		return -1;
	return p ? show_part(&r, p, q, err) : show_overview(&r, err);
}

int cmd_show(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "attempt",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.attempt,
		 .min = 1,
		 .max = 1000000,
		 .help = "this attempt and not the one whose result counts"},
		{.name = "raw",
		 .kind = OPTION_FLAG,
		 .target = &q.raw,
		 .help = "the exact bytes, control characters included"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &q.json,
		 .help = "llm: one JSON object for each call, not a table"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	AUTO(free) char *text = describe_parts();
	const struct usage usage = {
		.verb = "show",
		.operands = "RUN_ID [PART]",
		.min = 1,
		.max = 2,
		.options = options,
		.summary = "show one run: what happened, its logs, its diff",
		.text = text,
		.examples = "rollouts show 20250824__12-34-56-0\n"
			    "rollouts show 20250824__12-34-56-0 agent | less\n"
			    "rollouts show 20250824__12-34-56-0 diff --raw | git apply\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct store store;
	struct err err = {0};
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (store_open(&store, q.data, false, &err))
		return cmd_fail(&err);
	status = show(&store, &operands, &q, &err);
	store_close(&store);
	return status ? cmd_fail(&err) : CMD_OK;
}
