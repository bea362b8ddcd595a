/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/entry-point.h"
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/env-path.h"
#include "os/spawn.h"

enum {
	LOOK_MS = 100,
	SETTLED_MS = 10000, /* one that neither ends nor runs its arguments is the service itself */
	CHECK_PAUSE_MS = 500,
	LOG_MAX = 16 << 20,
	TAIL_LINES = 5,
};

/* As Docker has them: what a HEALTHCHECK does not say. */
static const struct {
	const char *key;
	int64_t ms;
} health_defaults[] = {{"Interval", 30000}, {"Timeout", 30000}, {"StartPeriod", 0}};

static int64_t health_ms(const struct image *i, size_t which)
{
	const int64_t ns = json_get_int(i->health, health_defaults[which].key, 0);

	return ns > 0 ? ns / 1000000 : health_defaults[which].ms;
}

/* The command of a health check; NULL: there is none. */
static const json_t *health_test(const struct image *i)
{
	const json_t *test = json_object_get(i->health, "Test");
	const char *kind = json_string_value(json_array_get(test, 0));

	return kind && json_array_size(test) > 1 && !strncmp(kind, "CMD", 3) ? test : NULL;
}

/* As long as Docker would go on trying; what passes sooner is taken sooner. */
static int64_t patience_ms(const struct image *i)
{
	int64_t retries = json_get_int(i->health, "Retries", 0);

	if (!health_test(i))
		return SETTLED_MS;
	retries = retries > 0 ? retries : 3;
	return health_ms(i, 2) + retries * (health_ms(i, 0) + health_ms(i, 1));
}

static bool has_one(const struct work *w)
{
	return w->attempt.trial.sandbox == SANDBOX_DOCKER && image_runs_entry(&w->image);
}

int64_t work_entry_ms(const struct work *w)
{
	return has_one(w) ? patience_ms(&w->image) + SETTLED_MS : 0;
}

static void make_env(struct strv *env, const struct work *w, const struct sandbox *box)
{
	const struct kvs *from[] = {&w->task.env, &w->attempt.trial.env};

	sandbox_env(box, env);
	for (size_t i = 0; i < ARRAY_SIZE(from); i++)
		for (size_t k = 0; k < from[i]->n; k++)
			if (!kv_is_secret(from[i]->v[k].key) && strcmp(from[i]->v[k].key, "HOME"))
				env_path_set(env, from[i]->v[k].key, from[i]->v[k].value);
}

static int open_log(const struct work *w, enum work_box which, struct err *err)
{
	AUTO(free) char *path = path_join(w->scratch[which], "entrypoint.log");

	return path_open_beneath(w->root_fd, path, O_RDWR | O_CREAT | O_APPEND, 0600, err);
}

static int start(struct work *w, struct sandbox *box, const char *const *env, int log,
		 struct err *err)
{
	const struct task_layout *l = &w->task.layout;
	const char *dir = *w->image.workdir ? w->image.workdir : "/";
	AUTO(strv) struct strv argv = STRV_INIT;

	strv_pushv(&argv, strv_items(&w->image.entry));
	strv_push(&argv, SANDBOX_KEEP_ALIVE);
	/* What the trial hides may not be there. */
	if (!strncmp(dir, l->app, strlen(l->app)) && strcmp(dir, l->repo))
		dir = l->app;
	const struct sandbox_exec x = {.argv = strv_items(&argv), .env = env, .cwd = dir};
	return sandbox_serve(box, &x, log, err);
}

/* Its last lines on one. */
static char *last_words(int log)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf line = BUF_INIT;
	char piece[2048];
	off_t size = lseek(log, 0, SEEK_END);
	ssize_t n = pread(log, piece, sizeof piece, size > 2048 ? size - 2048 : 0);

	buf_add(&text, piece, n > 0 ? (size_t)n : 0);
	while (text.len && strchr("\r\n ", text.data[text.len - 1]))
		text.data[--text.len] = '\0';
	const char *from = text.data + text.len;
	for (int lines = 0; from > text.data; from--)
		if (*from == '\n' && ++lines == TAIL_LINES) {
			from++;
			break;
		}
	for (char *c = text.data; *c; c++)
		*c = *c == '\n' ? ' ' : *c;
	text_renders(&line, *from ? from : "it printed nothing", TEXT_TERMINAL_LINE);
	return buf_detach(&line);
}

static void keep_log(const struct work *w, int log)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored = {0};

	if (lseek(log, 0, SEEK_SET) || path_read_fd(log, LOG_MAX, &text, &ignored) || !text.len)
		return;
	(void)!path_write(w->run_fd, ATTEMPT_ENTRY_LOG, text.data, text.len, 0644, false, &ignored);
}

static int failed(const struct work *w, int log, const char *how, struct err *err)
{
	AUTO(free) char *said = last_words(log);

	return err_set(err, ERR_INFRA, 0,
		       "the image's ENTRYPOINT (%.100s) %s: %.400s (it runs as the trial's user, "
		       "on a read-only root; "
		       "an image without one: FROM it, and ENTRYPOINT [])",
		       w->image.entrypoint, how, said);
}

/* *UP: nothing more is to be waited for. */
static int look(struct work *w, struct sandbox *box, int log, bool *up, struct err *err)
{
	enum sandbox_service state;
	char text[160], how[64];
	int status = 0;

	if (sandbox_service(box, &state, &status, text, sizeof text, err))
		return -1;
	if (*text) {
		AUTO(free) char *why = xasprintf("could not be started: %s", text);
		return failed(w, log, why, err);
	}
	if (state == SERVICE_ENDED && status) {
		AUTO(free) char *why = xasprintf("failed with %s", spawn_status_text(status, how));
		return failed(w, log, why, err);
	}
	*up = state != SERVICE_RUNS;
	return 0;
}

static int check_health(struct work *w, struct sandbox *box, const char *const *env, bool *well,
			struct err *err)
{
	const json_t *test = health_test(&w->image), *word;
	AUTO(strv) struct strv argv = STRV_INIT;
	size_t i;

	if (!strcmp(json_string_value(json_array_get(test, 0)), "CMD-SHELL"))
		strv_pushv(&argv, (const char *const[]){"/bin/sh", "-c", NULL});
	json_array_foreach (test, i, word)
		if (i && json_is_string(word))
			strv_push(&argv, json_string_value(word));
	const char *dir = *w->image.workdir ? w->image.workdir : "/";
	const struct sandbox_exec x = {.argv = strv_items(&argv),
				       .env = env,
				       .cwd = dir,
				       .deadline_ms = clock_mono_ms() + health_ms(&w->image, 1),
				       .at_end = SANDBOX_KILL_ALL};
	struct sandbox_exit end = {0};
	if (sandbox_exec(box, &x, &end, err))
		return -1;
	*well = end.end == SANDBOX_EXITED && !end.status;
	return 0;
}

static int await(struct work *w, struct sandbox *box, const char *const *env, int log,
		 struct err *err)
{
	const bool health = health_test(&w->image);
	const int64_t until = clock_mono_ms() + patience_ms(&w->image);
	bool up = false, well = false;

	for (;;) {
		if (look(w, box, log, &up, err) ||
		    (health && check_health(w, box, env, &well, err)))
			return -1;
		if (health ? well : up)
			return 0;
		if (clock_mono_ms() >= until)
			return health ? failed(w, log, "runs, but its HEALTHCHECK does not pass",
					       err)
				      : 0;
		poll(NULL, 0, health ? CHECK_PAUSE_MS : LOOK_MS);
	}
}

int work_entry_point(struct work *w, struct sandbox *box, enum work_box which, struct err *err)
{
	AUTO(strv) struct strv env = STRV_INIT;

	if (!has_one(w))
		return 0;
	AUTO(fd) int log = open_log(w, which, err);
	if (log < 0)
		return -1;
	make_env(&env, w, box);
	int rc = start(w, box, strv_items(&env), log, err) ||
				 await(w, box, strv_items(&env), log, err)
			 ? -1
			 : 0;
	keep_log(w, log);
	return rc;
}
