/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/result.h"
#include "core/trial.h"
#include "report/report.h"
#include "store/store.h"

#define MAX_FILE (128u << 20)

struct part {
	const char *name, *file, *help;
};

static const struct part parts[] = {
	{"agent", "logs/agent.log", "what the agent printed"},
	{"errors", "logs/agent.err", "what the agent printed to standard error"},
	{"eval", "logs/eval.log", "what the tests printed"},
	{"diff", "artifacts/diff.patch", "what the agent changed"},
	{"notes", "artifacts/notes.md", "the agent's notes"},
	{"score", "scoring_results.md", "how it was graded"},
	{"result", "result.json", "the result, as JSON"},
	{"worker", "logs/worker.log", "messages of the worker"},
};

struct request {
	const char *data;
	int64_t attempt; /* 0: the last */
	bool raw;
};

/* A run folder, opened, and the attempt to be shown. */
struct run {
	char *id, *shown; /* owned; shown: its path for people */
	int fd;
	int attempt, attempts; /* attempts: the highest number there is */
};

static void auto_run(struct run *r)
{
	free(r->id);
	free(r->shown);
	if (r->fd >= 0)
		close(r->fd);
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
static void find_attempts(struct run *r)
{
	AUTO(dir) DIR *d = open_dir(r->fd, "attempts");

	for (struct dirent *e; d && (e = readdir(d));) {
		int n = number_of(e->d_name);
		AUTO(free) char *result = xasprintf("attempts/%d/result.json", n);
		if (n > r->attempts)
			r->attempts = n;
		if (n > r->attempt && path_exists(r->fd, result))
			r->attempt = n;
	}
	if (!r->attempt)
		r->attempt = r->attempts;
}

static int open_run(const struct store *s, const char *word, const struct request *q,
		    struct run *out, struct err *err)
{
	if (find_run(s, word, &out->id, err))
		return -1;
	out->shown = xasprintf("%s/runs/%s", s->root, out->id);
	AUTO(free) char *path = path_join("runs", out->id);
	out->fd = path_open_beneath(s->root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	if (out->fd < 0)
		return -1;
	find_attempts(out);
	if (!out->attempts)
		return err_set(err, ERR_USAGE, 0, "%s was not started yet", out->shown);
	if (q->attempt > out->attempts)
		return err_set(err, ERR_USAGE, 0, "%s has attempts 1 to %d", out->shown,
			       out->attempts);
	if (q->attempt)
		out->attempt = (int)q->attempt;
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

static const struct part *find_part(const char *name, struct err *err)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(buf) struct buf all = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (strcmp(parts[i].name, name) == 0)
			return &parts[i];
		strv_push(&names, parts[i].name);
		buf_addf(&all, "%s%s", i ? ", " : "", parts[i].name);
	}
	const char *near = text_nearest(name, strv_items(&names));
	(void)err_set(err, ERR_USAGE, 0, "a run has no part \"%s\"%s%s%s; there is: %s", name,
		      near ? " (did you mean \"" : "", near ? near : "", near ? "\"?)" : "",
		      all.data);
	return NULL;
}

static int show_part(const struct run *r, const char *name, bool raw, struct err *err)
{
	const struct part *p = find_part(name, err);
	AUTO(buf) struct buf text = BUF_INIT;

	if (!p)
		return -1;
	AUTO(free) char *path = xasprintf("attempts/%d/%s", r->attempt, p->file);
	if (!path_read_beneath(r->fd, path, MAX_FILE, &text, err))
		return print(&text, raw, err);
	if (err->sys == ENOENT)
		return err_set(err, ERR_USAGE, 0,
			       "%s/%s does not exist: this attempt did not get that far", r->shown,
			       path);
	return -1;
}

static void line(struct buf *out, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void line(struct buf *out, const char *key, const char *fmt, ...)
{
	AUTO(free) char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	buf_addf(out, "%-10s", key);
	text_renders(out, text ? text : "", TEXT_TERMINAL_LINE);
	buf_addc(out, '\n');
}

static void add_trial(struct buf *out, const struct attempt *a)
{
	const struct trial *t = &a->trial;

	line(out, "task", "%s (%s)", t->task_id, t->task_dir);
	if (t->model[0])
		line(out, "model", "%s", t->model);
	if (t->variant[0])
		line(out, "label", "%s", t->variant);
	line(out, "agent", "%s", t->agent);
	line(out, "rollout", "%d", t->rollout);
}

static void add_score(struct buf *out, const struct result *r)
{
	if (!r->scored) {
		line(out, "score", "%s",
		     r->evaluated ? "none: no rubric has a test" : "none: not graded");
		return;
	}
	line(out, "score", "%.3f (%d of %d tests passed)", r->total_score, r->tests_passed,
	     r->tests);
	for (size_t i = 0; i < r->scores.n; i++)
		line(out, "", "%s %s", r->scores.v[i].value, r->scores.v[i].key);
	if (r->coverage >= 0 && r->coverage < 1)
		line(out, "coverage", "%.2f of the rubrics' weight has a test", r->coverage);
}

static void add_usage(struct buf *out, const struct agent_record *a)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char wall[16];

	clock_human(a->metrics.wall_ms < 0 ? 0 : a->metrics.wall_ms, wall);
	buf_addf(&text, "%s", wall);
	if (a->metrics.tokens_total >= 0)
		buf_addf(&text, ", %lld tokens", (long long)a->metrics.tokens_total);
	if (a->metrics.tool_calls >= 0)
		buf_addf(&text, ", %lld tool calls", (long long)a->metrics.tool_calls);
	buf_addf(&text, ", %lld lines changed", (long long)a->diff_lines);
	line(out, "used", "%s", text.data);
	if (a->final_message[0])
		line(out, "said", "%s", a->final_message);
}

static void add_result(struct buf *out, const struct result *r)
{
	line(out, "outcome", "%s%s%s", outcome_name(r->outcome), r->reason[0] ? ": " : "",
	     r->reason);
	add_score(out, r);
	if (r->has_agent)
		add_usage(out, &r->agent);
	AUTO(buf) struct buf phases = BUF_INIT;
	for (size_t i = 0; i < r->phases.n; i++)
		buf_addf(&phases, "%s%s %s ms", i ? ", " : "", r->phases.v[i].key,
			 r->phases.v[i].value);
	if (phases.len)
		line(out, "phases", "%s", phases.data);
	if (r->sandbox)
		line(out, "sandbox", "%s, workspace %s, limits %s", r->sandbox,
		     r->workspace ? r->workspace : "none",
		     r->limits_held ? r->limits_held : "none");
}

static int read_attempt(const struct run *r, struct attempt *out, struct err *err)
{
	AUTO(free) char *path = xasprintf("attempts/%d/trial.json", r->attempt);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	if (path_read_beneath(r->fd, path, MAX_FILE, &text, err) ||
	    json_parse(&j, text.data, text.len, path, err))
		return -1;
	return attempt_from_json(out, j, path, err);
}

/* 1: there is none yet. */
static int read_result(const struct run *r, struct result *out, struct err *err)
{
	AUTO(free) char *path = xasprintf("attempts/%d/result.json", r->attempt);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	if (path_read_beneath(r->fd, path, MAX_FILE, &text, err))
		return err->sys == ENOENT ? 1 : -1;
	return json_parse(&j, text.data, text.len, path, err) || result_from_json(out, j, path, err)
		       ? -1
		       : 0;
}

static void add_parts(struct buf *out, const struct run *r)
{
	AUTO(buf) struct buf names = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		AUTO(free) char *path = xasprintf("attempts/%d/%s", r->attempt, parts[i].file);
		if (path_exists(r->fd, path))
			buf_addf(&names, "%s%s", names.len ? "|" : "", parts[i].name);
	}
	line(out, "files", "%s/attempts/%d", r->shown, r->attempt);
	line(out, "more", "rollouts show %s %s", r->id, names.data);
}

static int show_overview(const struct run *r, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct attempt a;
	struct result result;

	if (read_attempt(r, &a, err))
		return -1;
	result_init(&result);
	int status = read_result(r, &result, err);
	if (status >= 0) {
		line(&text, "run", "%s", r->id);
		line(&text, "attempt", "%d of %d", r->attempt, r->attempts);
		add_trial(&text, &a);
		if (status == 0)
			add_result(&text, &result);
		else
			line(&text, "outcome", "none yet");
		add_parts(&text, r);
		fwrite(text.data, 1, text.len, stdout);
	}
	result_release(&result);
	attempt_release(&a);
	return status < 0 ? -1 : 0;
}

static char *describe_parts(void)
{
	struct buf text = BUF_INIT;

	buf_adds(&text, "Without a part: what happened, in short. The parts:\n");
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		buf_addf(&text, "  %-8s %s\n", parts[i].name, parts[i].help);
	buf_adds(&text, "Control characters in them are shown as escapes, unless --raw is given.");
	return buf_detach(&text);
}

static int show(const struct store *s, const struct strv *operands, const struct request *q,
		struct err *err)
{
	AUTO(run) struct run r = {.fd = -1};

	if (operands->n > 1 && !find_part(operands->v[1], err))
		return -1;
	if (open_run(s, operands->v[0], q, &r, err))
		return -1;
	return operands->n > 1 ? show_part(&r, operands->v[1], q->raw, err)
			       : show_overview(&r, err);
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
		 .help = "this attempt and not the last with a result"},
		{.name = "raw",
		 .kind = OPTION_FLAG,
		 .target = &q.raw,
		 .help = "the exact bytes, control characters included"},
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
