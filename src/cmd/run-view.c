/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/run-view.h"
#include <unistd.h>
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "core/datadir.h"
#include "launch/admit.h"
#include "report/report.h"

struct display *run_view_open(const struct run_view *v)
{
	enum display_mode mode = DISPLAY_DEFAULT;

	if (v->json)
		mode = DISPLAY_JSON;
	else if (v->verbose)
		mode = v->verbose > 1 ? DISPLAY_FULL : DISPLAY_PROGRESS;
	return display_new(STDOUT_FILENO, mode);
}

/* Such trials run, but one at a time: better known before than wondered at. */
static void say_too_large(const struct session *s, struct display *d, const struct session_work *w)
{
	struct admit host;

	admit_init(&host);
	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		if (admit_fits(&host, &t->limits, false))
			continue;
		display_say(
			d,
			"task %s reserves more than this machine has (%g cpus, %lld MB): it runs "
			"alone, with what there is",
			t->task_id, host.cpus, (long long)host.memory_mb);
		return;
	}
}

/* What is used, not what was asked for. With the local one alone there is nothing to tell: that is what runs anywhere. */
static void say_sandboxes(const struct session *s, struct display *d, const struct session_work *w)
{
	AUTO(buf) struct buf names = BUF_INIT;
	bool used[SANDBOX_NONE + 1] = {false};

	for (size_t i = 0; i < w->n; i++)
		if (!*s->plan.trials[w->items[i].index].refused)
			used[s->plan.trials[w->items[i].index].sandbox] = true;
	const bool told = used[SANDBOX_DOCKER] || used[SANDBOX_LANDLOCK];
	for (int k = 0; told && k <= SANDBOX_NONE; k++)
		if (used[k])
			buf_addf(&names, "%s%s", names.len ? "," : "",
				 sandbox_kind_name((enum sandbox_kind)k));
	if (names.len)
		display_say(d, "sandbox=%s", names.data);
}

void run_view_announce(struct display *d, const struct session *s, const struct session_work *w,
		       const struct strv *notes)
{
	int parallel = w->parallel ? w->parallel : s->plan.parallel;

	display_say(d, "config=%s name=%s tasks=%zu parallel=%d", s->plan.config, s->plan.name,
		    w->n, parallel);
	display_say(d, "output=%s/%s", s->store.root, s->ref.path);
	say_sandboxes(s, d, w);
	if (s->stats.damaged)
		display_say(d,
			    "%d damaged line%s of " ROLLOUT_JOURNAL
			    " %s skipped, the first is line %d",
			    s->stats.damaged, s->stats.damaged == 1 ? "" : "s",
			    s->stats.damaged == 1 ? "was" : "were", s->stats.first_damaged);
	for (size_t i = 0; i < notes->n; i++)
		display_say(d, "%s", notes->v[i]);
	say_too_large(s, d, w);
	display_say_quiet(d);
	display_say(d, "Starting %zu task%s with parallel=%d", w->n, w->n == 1 ? "" : "s",
		    parallel);
}

int run_view_status(const struct sched_end *end)
{
	switch (end->why) {
	case SCHED_SAME_ERROR:
	case SCHED_REFUSED:
	case SCHED_NO_DISK:
	case SCHED_BROKEN:
		return CMD_ENVIRONMENT;
	case SCHED_INTERRUPTED:
		return end->missing ? CMD_INTERRUPTED : CMD_OK;
	case SCHED_DONE:
	case SCHED_FAILED_FAST:
	case SCHED_MANY_FAILED:
	case SCHED_HELD:
		break;
	}
	return end->missing || *end->underived ? CMD_MISSING : CMD_OK;
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
	struct summary sum;
	struct err
		ignored; /* the run is over and its results are kept: nothing is lost by not telling */

	if (rollout_load(&r, &s->store, &s->ref, &ignored))
		return;
	/* It is we who still hold the journal. */
	rollout_ended(&r);
	summary_make(&sum, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
	if (any_evaluated(s))
		report_headlines(&lines, &sum);
	for (size_t i = 0; i < lines.n; i++)
		display_say(d, "%s", lines.v[i]);
	AUTO(buf) struct buf left_out = BUF_INIT;
	report_left_out(&left_out, &r);
	if (left_out.len)
		display_say(d, "%s", left_out.data);
	if (report_write_summary(&s->store, &sum, &r, &ignored))
		display_say(d, "summary.md is not written: %s", ignored.msg);
	summary_release(&sum);
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
static void say_cost(const struct session *s, struct display *d)
{
	const struct journal_cost *all = &s->stats.cost;

	if (!all->calls)
		return;
	if (all->unpriced_calls)
		display_say(
			d, "spent: %lld tokens in %lld call%s, cost N/A: no price for %lld of them",
			(long long)all->tokens, (long long)all->calls, all->calls == 1 ? "" : "s",
			(long long)all->unpriced_calls);
	else
		display_say(d, "spent: %.4f USD, %lld tokens in %lld call%s", all->usd,
			    (long long)all->tokens, (long long)all->calls,
			    all->calls == 1 ? "" : "s");
}

void run_view_stopped(struct display *d, const struct sched_end *end)
{
	static const char *const reasons[] = {
		[SCHED_DONE] = NULL,
		[SCHED_INTERRUPTED] = "interrupted",
		[SCHED_FAILED_FAST] = "stopped at the first failure, as asked",
		[SCHED_SAME_ERROR] = "stopped: every trial fails for one reason",
		[SCHED_MANY_FAILED] = "paused",
		[SCHED_REFUSED] = "paused",
		[SCHED_NO_DISK] = "stopped",
		[SCHED_HELD] = "stopped",
		[SCHED_BROKEN] = "stopped",
	};

	if (reasons[end->why])
		display_say(d, "%s%s%s", reasons[end->why], *end->text ? ": " : "", end->text);
	if (*end->underived)
		display_say(
			d,
			"results are kept, but not all that is made from them could be written: "
			"%s; once it can be, `rollouts resume` writes it",
			end->underived);
}

void run_view_conclude(struct display *d, const struct session *s, const struct sched_end *end)
{
	run_view_stopped(d, end);
	say_scores(s, d);
	say_cost(s, d);
	if (end->missing)
		say_command(s, d, "resume", "finish what is missing");
	say_command(s, d, "summarize", "details");
}
