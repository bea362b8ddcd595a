/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/images.h"
#include "base/path.h"
#include "cmd/meter.h"
#include "cmd/recover.h"
#include "cmd/session.h"
#include "config/agent-program.h"
#include "core/datadir.h"
#include "report/report.h"
#include "sched/admit.h"

static int parallel_of(const struct session *s, const struct session_work *w)
{
	return w->parallel ? w->parallel : s->plan.parallel;
}

/* Such trials run, but one at a time: better known before than wondered at. */
static void say_too_large(const struct session *s, struct display *d, const struct session_work *w)
{
	struct admit host;

	admit_init(&host, -1);
	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		if (admit_fits(&host, &t->limits, false))
			continue;
		display_say(
			d,
			"task %s reserves more than this machine has (%g cpus, %lld MB): it runs "
			"alone",
			t->task_id, host.cpus, (long long)host.memory_mb);
		return;
	}
}

/* What is used, not what was asked for. Without containers there is nothing to tell: that is what runs anywhere. */
static void say_sandboxes(const struct session *s, struct display *d, const struct session_work *w)
{
	AUTO(buf) struct buf names = BUF_INIT;
	bool used[SANDBOX_NONE + 1] = {false};

	for (size_t i = 0; i < w->n; i++)
		used[s->plan.trials[w->items[i].index].sandbox] = true;
	for (int k = 0; used[SANDBOX_DOCKER] && k <= SANDBOX_NONE; k++)
		if (used[k])
			buf_addf(&names, "%s%s", names.len ? "," : "",
				 sandbox_kind_name((enum sandbox_kind)k));
	if (names.len)
		display_say(d, "sandbox=%s", names.data);
}

void session_announce(const struct session *s, struct display *d, const struct session_work *w)
{
	int parallel = parallel_of(s, w);

	display_say(d, "config=%s name=%s tasks=%zu parallel=%d", s->plan.config, s->plan.name,
		    w->n, parallel);
	display_say(d, "output=%s/%s", s->store.root, s->ref.path);
	say_sandboxes(s, d, w);
	if (s->stats.damaged)
		display_say(d,
			    "%d damaged lines of " ROLLOUT_JOURNAL
			    " were skipped, the first is line %d",
			    s->stats.damaged, s->stats.first_damaged);
	if (w->note)
		display_say(d, "%s", w->note);
	for (size_t i = 0; w->notes && i < w->notes->n; i++)
		display_say(d, "%s", w->notes->v[i]);
	say_too_large(s, d, w);
	display_say_quiet(d);
	display_say(d, "Starting %zu tasks with parallel=%d", w->n, parallel);
}

/* Told once and at once, not by every trial after its retries. */
int session_check_host(const struct trial *trials, size_t n, struct err *err)
{
	static const char *const needed[][2] = {{"git", "git"}, {"bwrap", "bubblewrap"}};
	bool boxed = false, local = false;

	for (size_t i = 0; i < n; i++) {
		boxed |= trials[i].sandbox != SANDBOX_NONE;
		local |= trials[i].sandbox == SANDBOX_LOCAL;
	}
	for (size_t i = 0; boxed && i < ARRAY_SIZE(needed) - !local; i++) {
		AUTO(free) char *path = program_on_path(needed[i][0]);
		if (!path)
			return err_set(err, ERR_INFRA, 0,
				       "%s is not on PATH: install the package %s, then see: "
				       "rollouts doctor",
				       needed[i][0], needed[i][1]);
	}
	return 0;
}

/* Absolute: sandboxes mount what is in it. */
static char *rollout_folder(const struct session *s)
{
	AUTO(free) char *path = xasprintf("/proc/self/fd/%d", s->dir_fd);
	char real[PATH_MAX];
	ssize_t n = readlink(path, real, sizeof real - 1);

	if (n < 0)
		return path_join(s->store.root, s->ref.path);
	real[n] = '\0';
	return xstrdup(real);
}

int session_run(struct session *s, struct display *d, const struct session_work *w,
		struct sched_end *end, struct err *err)
{
	if (w->n &&
	    (session_check_host(s->plan.trials, s->plan.n, err) || images_prepare(s, d, w, err)))
		return -1;
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	AUTO(free) char *dir = w->document ? rollout_folder(s) : NULL;
	AUTO(free) char *gateway = dir ? xasprintf("%s/" ROLLOUT_GATEWAY_SOCKET, dir) : NULL;
	AUTO(free) char *control = dir ? xasprintf("%s/" ROLLOUT_CONTROL_SOCKET, dir) : NULL;
	const struct listener listener = display_listener(d);
	struct meter meter;
	size_t parallel = (size_t)parallel_of(s, w);
	struct sched_options o = {
		.store = &s->store,
		.ref = &s->ref,
		.dir_fd = s->dir_fd,
		.plan = &s->plan,
		.progress = s->progress,
		.journal = s->journal,
		.items = w->items,
		.items_n = w->n,
		/* More jobs than items would only be more to look through. */
		.parallel = (int)(parallel < w->n ? parallel
				  : w->n	  ? w->n
						  : 1),
		.fail_fast = w->fail_fast || s->plan.fail_fast,
		.launcher = launch_find("local"),
		.worker = worker,
		.secret = s->secret,
		.gateway = gateway,
		.control = control,
		.record = true,
		.replay = s->replay,
		.replay_or_live = s->plan.replay_or_live,
		.listener = &listener,
		.sweep = recover_sweep,
		.on_done = w->on_done,
		.on_done_arg = w->on_done_arg,
	};

	int status = meter_open(&meter, s, d, w, err);
	const struct sched_hook hook = meter_hook(&meter);
	o.hook = meter.gateway || s->plan.budget.wall_ms || s->plan.budget.usd > 0 ? &hook : NULL;
	if (!status)
		status = sched_run(&o, end, err);
	meter_close(&meter);
	s->stats.spent = meter.before;
	return status;
}

int session_status(const struct sched_end *end)
{
	switch (end->why) {
	case SCHED_SAME_ERROR:
	case SCHED_NO_DISK:
	case SCHED_BROKEN:
		return CMD_ENVIRONMENT;
	case SCHED_INTERRUPTED:
		return end->missing ? CMD_INTERRUPTED : CMD_OK;
	case SCHED_DONE:
	case SCHED_FAILED_FAST:
	case SCHED_HELD:
		break;
	}
	return end->missing ? CMD_MISSING : CMD_OK;
}

static bool any_evaluated(const struct session *s)
{
	for (size_t i = 0; i < s->plan.n; i++)
		if (s->plan.trials[i].evaluate)
			return true;
	return false;
}

/* From what is on disk, so that it says the same as `summarize`. */
static void say_scores(const struct session *s, struct display *d)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	struct rollout r;
	struct err
		ignored; /* the run is over and its results are kept: nothing is lost by not telling */

	if (!any_evaluated(s) || rollout_load(&r, &s->store, &s->ref, &ignored))
		return;
	report_headlines(&lines, &r);
	for (size_t i = 0; i < lines.n; i++)
		display_say(d, "%s", lines.v[i]);
	if (report_write_summary(&s->store, &r, &ignored))
		display_say(d, "summary.md is not written: %s", ignored.msg);
	rollout_release(&r);
}

static void say_command(const struct session *s, struct display *d, const char *verb,
			const char *what)
{
	AUTO(buf) struct buf command = BUF_INIT;

	store_command(&command, s->store.root, &s->ref, verb);
	display_say(d, "%s: %s", what, command.data);
}

/* Of every run and resume so far, failed attempts included. */
static void say_spent(const struct session *s, struct display *d)
{
	const struct journal_spent *all = &s->stats.spent;

	if (!all->calls)
		return;
	if (all->unpriced_calls)
		display_say(
			d, "spent: %lld tokens in %lld calls, cost N/A: %lld of them have no price",
			(long long)all->tokens, (long long)all->calls,
			(long long)all->unpriced_calls);
	else
		display_say(d, "spent: %.4f USD, %lld tokens in %lld calls", all->usd,
			    (long long)all->tokens, (long long)all->calls);
}

void session_conclude(const struct session *s, struct display *d, const struct sched_end *end)
{
	static const char *const reasons[] = {
		[SCHED_DONE] = NULL,
		[SCHED_INTERRUPTED] = "interrupted",
		[SCHED_FAILED_FAST] = "stopped at the first failure, as asked",
		[SCHED_SAME_ERROR] = "stopped: every trial fails for one reason",
		[SCHED_NO_DISK] = "stopped",
		[SCHED_HELD] = "stopped",
		[SCHED_BROKEN] = "stopped",
	};

	if (reasons[end->why])
		display_say(d, "%s%s%s", reasons[end->why], *end->text ? ": " : "", end->text);
	say_scores(s, d);
	say_spent(s, d);
	if (end->missing)
		say_command(s, d, "resume", "finish what is missing");
	say_command(s, d, "summarize", "details");
}
