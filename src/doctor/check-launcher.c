/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/launcher.h"
#include "doctor/check.h"
#include "launch/launch.h"
#include "os/spawn.h"
#include "store/rundir.h"

enum { TRY_MS = 600000, WAIT_MS = 120000, TURN_MS = 500, LOG_MAX = 1 << 20 };
#define RUN_ID "19700101__00-00-00-0" /* of the one trial, in the scratch folder */

struct tried {
	int64_t start_ms, begun_ms; /* begun: its worker's first line; 0: none */
	char *job, *how;	    /* how: it has ended */
};

static void on_event(void *arg, const struct launch_event *e)
{
	struct tried *t = arg;

	if (e->kind == LAUNCH_NAMED) {
		free(t->job);
		t->job = xstrdup(e->name);
	} else if (e->kind == LAUNCH_LINE && !t->begun_ms) {
		t->begun_ms = clock_mono_ms();
	} else if (e->kind == LAUNCH_ENDED) {
		t->how = xstrdup(e->how);
	}
}

/* A trial that does nothing: what is tried is its way there and back. */
static int submit(const struct checks *c, const struct launcher *l, struct launch *launch,
		  struct err *err)
{
	AUTO(free) char *dir = datadir_attempt(RUN_ID, 1);
	struct attempt a = {.number = 1,
			    .trial = {.run_id = (char *)RUN_ID,
				      .task_id = (char *)"doctor",
				      .task_snapshot = (char *)DATA_TASKS "/doctor",
				      .agent = (char *)"nop",
				      .seed = -1,
				      .sandbox = SANDBOX_NONE,
				      .limits = limits_default}};
	char **const texts[] = {&a.trial.task_dir, &a.trial.variant, &a.trial.model,
				&a.trial.provider, &a.trial.api,     &a.trial.model_id};
	const struct launch_job job = {.dir = dir, .limits = &a.trial.limits};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		*texts[i] = (char *)"";
	memset(a.trial.key, '0', sizeof a.trial.key - 1);
	a.agent_spec = json_pack("{s:s}", "kind", "nop");
	l->place(launch, &a);
	int rc = path_make_dirs(c->scratch, DATA_RUNS, 0755, err) ||
				 rundir_make(c->scratch, &a, err) || l->submit(launch, &job, err)
			 ? -1
			 : 0;
	json_decref(a.agent_spec);
	return rc;
}

static void wait_for_end(const struct launcher *l, struct launch *launch, struct tried *t)
{
	struct pollfd fds[LAUNCH_FDS];

	while (!t->how && clock_mono_ms() < t->start_ms + WAIT_MS) {
		size_t n = l->watch(launch, fds);
		if (poll(fds, n, TURN_MS) >= 0)
			l->poll(launch, fds, on_event, t);
	}
}

static void tell(struct checks *c, const char *name, const struct tried *t)
{
	AUTO(free) char *check = xasprintf("launcher %s", name);
	AUTO(free) char *result = datadir_attempt_file(RUN_ID, 1, ATTEMPT_RESULT);
	AUTO(free) char *remedy =
		xasprintf("docs/launchers.md says what nodes of %s have to see", name);
	char all[16], queue[16];

	clock_human(clock_mono_ms() - t->start_ms, all);
	clock_human((t->begun_ms ? t->begun_ms : t->start_ms) - t->start_ms, queue);
	if (!t->how)
		check_add(c, CHECK_FAILED, check,
			  "see what its engine says of that job; a busy one may need longer",
			  "job %s %s within %d s", t->job ? t->job : "(none)",
			  t->begun_ms ? "did not end" : "was not begun", WAIT_MS / 1000);
	else if (!path_exists(c->scratch, result))
		check_add(c, CHECK_FAILED, check, remedy, "job %s brought no result: %s",
			  t->job ? t->job : "(none)", t->how);
	else
		check_add(c, CHECK_OK, check, NULL,
			  "a job went there and its files came back in %s (%s until it began)", all,
			  queue);
}

static void add_found(struct checks *c, const json_t *found)
{
	const bool ok = json_get_bool(found, "ok", false);
	const bool needed = json_get_bool(found, "needed", true);

	check_add(c,
		  ok	   ? CHECK_OK
		  : needed ? CHECK_FAILED
			   : CHECK_LESS,
		  json_get_str(found, "check", "launcher"), json_get_str(found, "remedy", NULL),
		  "%s", json_get_str(found, "text", ""));
}

/* What its engine's machines allow, where it has a program `try` beside it that finds out: it is given what the launcher
 * is greeted with, and says lines of JSON (check, ok, needed, text, remedy). */
static void try_machines(struct checks *c, const char *name, const json_t *settings)
{
	AUTO(free) char *check = xasprintf("launcher %s", name);
	AUTO(free) char *program = launcher_program(name);
	AUTO(free) char *folder = program ? path_folder(program) : NULL;
	AUTO(free) char *file = folder ? path_join(folder, "try") : NULL;
	AUTO(free) char *data = path_of_fd(c->scratch);
	AUTO(free) char *node = install_libexec("rollouts-node");
	AUTO(json) json_t *hello =
		json_pack("{s:i,s:s,s:s,s:s,s:i,s:O}", "v", 1, "data", data, "state", data, "node",
			  node, "parallel", 1, "settings", settings ? settings : json_null());
	AUTO(buf) struct buf text = BUF_INIT, out = BUF_INIT, said = BUF_INIT;
	const char *const argv[] = {file, NULL};
	const struct spawn s = {.argv = argv, .dir_fd = c->scratch, .in = -1, .out = -1, .err = -1};
	int status = 0;
	struct err err;

	if (!file || access(file, X_OK))
		return;
	if (!settings)
		json_put(hello, "settings", json_object());
	json_format(&text, hello, false);
	buf_addc(&text, '\n');
	if (spawn_run(&s, text.data, text.len, LOG_MAX, clock_mono_ms() + TRY_MS, &out, &said,
		      &status, &err)) {
		check_add_error(c, CHECK_FAILED, check, &err, NULL);
		return;
	}
	char *rest = out.data;
	for (char *line; out.len && (line = strsep(&rest, "\n"));) {
		AUTO(json) json_t *found = json_loads(line, 0, NULL);
		if (json_is_object(found))
			add_found(c, found);
	}
	if (status) {
		AUTO(buf) struct buf words = BUF_INIT;
		text_renders(&words, said.len ? said.data : "nothing was said", TEXT_TERMINAL_LINE);
		check_add(c, CHECK_FAILED, check, "docs/launchers.md", "%s", words.data);
	}
}

void check_launcher(struct checks *c, const char *name, const json_t *settings)
{
	AUTO(free) char *check = xasprintf("launcher %s", name);
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	const struct launcher *l = launch_find(name);
	const struct launch_spec spec = {.name = name,
					 .settings = settings,
					 .root_fd = c->scratch,
					 .worker = worker,
					 .parallel = 1};
	struct tried t = {.start_ms = clock_mono_ms()};
	struct launch *launch;
	struct err err;

	if (!l)
		err_set(&err, ERR_USAGE, 0, "there is no launcher \"%s\"", name);
	if (!l || l->open(&launch, &spec, &err)) {
		check_add_error(c, CHECK_FAILED, check, &err, "docs/launchers.md");
		return;
	}
	if (submit(c, l, launch, &err)) {
		check_add_error(c, CHECK_FAILED, check, &err, NULL);
	} else {
		wait_for_end(l, launch, &t);
		tell(c, name, &t);
		if (!t.how)
			l->cancel(launch, 0, LAUNCH_KILL);
	}
	for (int64_t end = clock_mono_ms() + WAIT_MS / 10; !t.how && clock_mono_ms() < end;) {
		struct pollfd fds[LAUNCH_FDS];
		if (poll(fds, l->watch(launch, fds), TURN_MS) >= 0)
			l->poll(launch, fds, on_event, &t);
	}
	l->close(launch);
	if (strcmp(name, LAUNCHER_LOCAL) != 0)
		try_machines(c, name, settings);
	free(t.job);
	free(t.how);
}
