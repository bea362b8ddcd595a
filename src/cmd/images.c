/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/images.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/display.h"
#include "engine/ask.h"
#include "os/fdio.h"
#include "os/spawn.h"

#define LINE_BYTES 4096

/* --- before the plan --- */

static void problem(struct frontend *f, const struct bench_entry *e, struct strv *problems,
		    const char *text)
{
	strv_pushf(problems, "%s:%d:%d: \"%s\": %s", f->bench.config_path, e->line, e->col,
		   e->prepared_dir, text);
}

/* Once for all entries. */
static int find_engine(struct frontend *f, struct err *err)
{
	AUTO(buf) struct buf out = BUF_INIT;

	if (f->engine)
		return 0;
	if (engine_ask((const char *const[]){"find", NULL}, AT_FDCWD, &out, err))
		return -1;
	char *about = strchr(out.data, '\n');
	about = about ? about + 1 : out.data;
	f->engine = xstrndup(about, strcspn(about, "\n"));
	return 0;
}

static int read_context(struct frontend *f, struct bench_entry *e, struct frontend_task *t,
			struct strv *problems, struct err *err)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	if (!t->context && task_context_read(&t->context, &t->task, &t->source, &lines, err)) {
		if (!lines.n)
			return -1;
		frontend_task_problems(&t->source, &lines, problems);
		return 0;
	}
	e->image = xstrdup(t->context->key);
	return 0;
}

static int resolve(struct frontend *f, size_t i, struct strv *problems, struct err *err)
{
	struct bench_entry *e = &f->bench.entries[i];
	struct frontend_task *t = &f->tasks[f->entry_task[i]];
	const bool wanted = task_wants_image(&t->task), asked = e->sandbox == SANDBOX_DOCKER;

	if (e->sandbox == SANDBOX_AUTO && !wanted)
		e->sandbox = SANDBOX_LOCAL;
	if (e->sandbox == SANDBOX_LOCAL || e->sandbox == SANDBOX_NONE) {
		if (e->network)
			problem(f, e, problems,
				"network = true needs sandbox = \"docker\", and with it a "
				"Dockerfile or docker_image: "
				"sandbox = \"local\" has no network");
		return 0;
	}
	if (!wanted) {
		problem(f, e, problems,
			"sandbox = \"docker\" needs a Dockerfile in the task folder, or "
			"docker_image in its tb_meta.json");
		return 0;
	}
	if (find_engine(f, err)) {
		if (!asked)
			err_wrap(err,
				 "task %s has a %s, and no container engine is to be had; start "
				 "one (rollouts doctor), "
				 "or set sandbox = \"local\" to run it with the programs of this "
				 "machine",
				 t->task.id, t->task.docker_image ? "docker_image" : "Dockerfile");
		return -1;
	}
	e->sandbox = SANDBOX_DOCKER;
	return read_context(f, e, t, problems, err);
}

int images_resolve(struct frontend *f, struct strv *problems, struct err *err)
{
	for (size_t i = 0; i < f->bench.entries_n; i++)
		if (resolve(f, i, problems, err))
			return -1;
	return 0;
}

/* --- before the trials --- */

static void collect_keys(const struct session *s, const struct session_work *w, struct strv *keys)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		if (t->sandbox != SANDBOX_DOCKER || json_object_get(seen, t->image))
			continue;
		json_object_set_new(seen, t->image, json_true());
		strv_push(keys, t->image);
	}
}

static void show(struct display *d, const char *line, size_t len, char last[static LINE_BYTES])
{
	if (len >= 2 && line[0] == '|' && line[1] == ' ') {
		display_run_line(d, "image", line + 2, len - 2);
	} else if (len) {
		snprintf(last, LINE_BYTES, "%.*s", (int)len, line);
		display_say(d, "%s", last);
	}
	display_flush(d);
}

/* Until its end: each line as it comes. */
static void follow(struct display *d, int fd, char last[static LINE_BYTES])
{
	char text[LINE_BYTES];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof text - len)) > 0 || (n < 0 && errno == EINTR)) {
		len += n > 0 ? (size_t)n : 0;
		char *newline;
		while ((newline = memchr(text, '\n', len))) {
			show(d, text, (size_t)(newline - text), last);
			len -= (size_t)(newline + 1 - text);
			memmove(text, newline + 1, len);
		}
		if (len == sizeof text)
			len = 0;
	}
}

static int make_images(const struct session *s, struct display *d, const struct strv *keys,
		       struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-docker");
	AUTO(strv) struct strv argv = STRV_INIT;
	char last[LINE_BYTES] = "";
	struct child child;
	int ends[2], status = 0;

	strv_pushv(&argv, (const char *const[]){program, "images", NULL});
	strv_pushv(&argv, strv_items(keys));
	if (fd_pipe(ends, err))
		return -1;
	AUTO(fd) int in = ends[0];
	AUTO(fd) int out = ends[1];
	const struct spawn spawn = {.argv = strv_items(&argv),
				    .dir_fd = s->store.root_fd,
				    .in = -1,
				    .out = out,
				    .err = STDERR_FILENO};
	if (spawn_start(&child, &spawn, false, err))
		return err_wrap(err, "%s", program);
	close(fd_steal(&out));
	follow(d, in, last);
	if (spawn_wait(&child, 0, &status, err))
		return -1;
	return status ? engine_ask_failed(status, last, err) : 0;
}

/* What root would have prevented (see docs/containers.md) is told. */
static void warn_of_network(const struct session *s, struct display *d,
			    const struct session_work *w)
{
	for (size_t i = 0; geteuid() && i < w->n; i++)
		if (s->plan.trials[w->items[i].index].network) {
			display_say(
				d,
				"network = true: only started by root does a run keep its "
				"containers from "
				"credentials that a cloud hands to this machine (169.254.169.254)");
			return;
		}
}

int images_prepare(const struct session *s, struct display *d, const struct session_work *w,
		   struct err *err)
{
	AUTO(strv) struct strv keys = STRV_INIT;

	collect_keys(s, w, &keys);
	warn_of_network(s, d, w);
	return keys.n ? make_images(s, d, &keys, err) : 0;
}
