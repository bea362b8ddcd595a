/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include "agent/agent-kind.h"
#include "agent/agent-template.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"

enum {
	NOTES_BYTES = 1 << 20,
	FILE_BYTES = 16 << 20,
	TOTAL_BYTES = 64 << 20,
	FILES_MAX = 1000,
	LIST_BYTES = 1 << 20,
	LIST_MS = 20000,
};

struct collect {
	const struct agent_job *job;
	struct sandbox *s;
	struct strv *skipped;
	size_t files, bytes;
};

static void skip(struct collect *c, const char *path, const char *why)
{
	AUTO(buf) struct buf line = BUF_INIT;

	text_renders(&line, path, TEXT_TERMINAL_LINE);
	buf_addf(&line, ": %s", why);
	strv_push(c->skipped, line.data);
}

/* Names are the agent's: one that this host cannot hold is left out, it is not our fault. */
static bool is_bad_name(const struct err *why)
{
	return why->sys == ENAMETOOLONG || why->sys == EINVAL || why->sys == EILSEQ;
}

static int write_host(struct collect *c, const char *host, const struct buf *data, struct err *err)
{
	AUTO(free) char *dir = xstrndup(host, (size_t)(path_base(host) - host));

	if (path_make_dirs(c->job->run_fd, dir, 0700, err))
		return -1;
	return path_write(c->job->run_fd, host, data->data, data->len, 0600, c->job->attempt->sync,
			  err);
}

/* Copy what FD holds to HOST below the attempt's directory. */
static int copy_fd(struct collect *c, int fd, const char *box, const char *host, size_t max,
		   struct err *err)
{
	AUTO(buf) struct buf data = BUF_INIT;
	struct err why = {0};

	if (path_read_fd(fd, max, &data, &why)) {
		skip(c, box, why.kind == ERR_LIMIT ? "too large" : "cannot be read");
		return 0;
	}
	c->files++;
	c->bytes += data.len;
	if (write_host(c, host, &data, &why) == 0)
		return 0;
	if (is_bad_name(&why)) {
		skip(c, box, "a name this host cannot hold");
		return 0;
	}
	*err = why;
	return -1;
}

/* Copy one file if there is such a file: 1 copied or skipped, 0 no regular file there, -1 our
 * fault. */
static int copy_file(struct collect *c, const char *box, const char *host, size_t max,
		     struct err *err)
{
	struct err why = {0};
	AUTO(fd) int fd = sandbox_get(c->s, box, &why);

	if (fd < 0 && why.kind == ERR_CANCELLED) {
		*err = why;
		return -1;
	}
	if (fd < 0)
		return why.sys == ENOENT;
	return copy_fd(c, fd, box, host, max, err) ? -1 : 1;
}

static void take_listing(void *arg, int stream, const char *data, size_t n)
{
	struct buf *list = arg;

	if (stream == 1 && list->len + n <= LIST_BYTES)
		buf_add(list, data, n);
}

/* The files below a directory in the box, NUL-separated; empty when it cannot be listed. */
static int list_dir(struct collect *c, const char *dir, struct buf *list, struct err *err)
{
	const char *const argv[] = {"find", dir, "-xdev", "-type", "f", "-print0", NULL};
	const char *const env[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", NULL};
	const struct sandbox_exec x = {
		.argv = argv,
		.env = env,
		.cwd = "/",
		.on_output = take_listing,
		.on_output_arg = list,
		.deadline_ms = clock_mono_ms() + LIST_MS,
		.at_end = SANDBOX_KILL_ALL,
	};
	struct sandbox_exit end;
	struct err why = {0};

	if (sandbox_exec(c->s, &x, &end, &why) == 0 || why.kind != ERR_CANCELLED)
		return 0;
	*err = why;
	return -1;
}

/* BOX is absolute and the agent may have named it: artifacts/agent/ mirrors it, or it is left out.
 */
static int collect_file(struct collect *c, const char *box, struct err *err)
{
	AUTO(free) char *host = xasprintf(ATTEMPT_COLLECTED "%s", sandbox_inside(c->s, box));
	int got;

	if (box[0] != '/' || !path_is_inside(box + 1)) {
		skip(c, box, "not a plain path");
		return 0;
	}
	if (c->files >= FILES_MAX || c->bytes >= TOTAL_BYTES) {
		skip(c, box, "too much collected already");
		return 0;
	}
	got = copy_file(c, box, host, FILE_BYTES, err);
	return got < 0 ? -1 : got;
}

static int collect_dir(struct collect *c, const char *dir, struct err *err)
{
	AUTO(buf) struct buf list = BUF_INIT;

	if (list_dir(c, dir, &list, err))
		return -1;
	for (const char *p = list.data; p < list.data + list.len; p += strlen(p) + 1)
		if (c->skipped->n < FILES_MAX && collect_file(c, p, err) < 0)
			return -1;
	return 0;
}

/* The agent's notes, or what it said last: whoever reads results finds the file in each of them. Not where there is
 * something of that name which was left behind. */
static int collect_notes(struct collect *c, const struct agent_record *record, struct err *err)
{
	const size_t skipped = c->skipped->n;
	AUTO(buf) struct buf said = BUF_INIT;
	int got = copy_file(c, c->job->task->layout.notes, ATTEMPT_NOTES, NOTES_BYTES, err);

	if (got <= 0 || c->skipped->n > skipped || path_exists(c->job->run_fd, ATTEMPT_NOTES))
		return got < 0 ? -1 : 0;
	buf_adds(&said, record->final_message);
	if (said.len)
		buf_addc(&said, '\n');
	return write_host(c, ATTEMPT_NOTES, &said, err);
}

int agent_collect(const struct agent_job *job, struct sandbox *s, const struct agent_record *record,
		  struct strv *skipped, struct err *err)
{
	struct collect c = {.job = job, .s = s, .skipped = skipped};
	json_t *items = json_object_get(job->attempt->agent_spec, "collect");
	size_t i;
	json_t *v;

	if (collect_notes(&c, record, err))
		return err_wrap(err, "collect notes.md");
	json_array_foreach (items, i, v) {
		AUTO(free)
		char *path = agent_expanded(json_is_string(v) ? json_string_value(v) : "", job);
		int got = collect_file(&c, path, err);

		if (got < 0 || (got == 0 && collect_dir(&c, path, err)))
			return err_wrap(err, "collect %s", path);
	}
	return 0;
}
