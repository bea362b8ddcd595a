/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "doctor/check.h"
#include "launch/launch.h"
#include "store/rundir.h"

enum { WAIT_MS = 120000, TURN_MS = 500, LOG_MAX = 1 << 20 };
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
	free(t.job);
	free(t.how);
}
