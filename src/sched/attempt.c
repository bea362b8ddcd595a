// SPDX-License-Identifier: GPL-3.0-or-later
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/token.h"
#include "sched/internal.h"

/* NULL: there is no gateway to show it to. */
static char *token(const struct sched *s, const struct attempt *a, const char *role)
{
	return s->o->secret ? token_make(s->o->secret, a->trial.run_id, a->number, role) : NULL;
}

/* What nop and oracle made is made again at no cost, and they are many. */
static bool is_dear(const json_t *spec)
{
	const char *kind = json_get_str(spec, "kind", "cli");

	return strcmp(kind, "nop") && strcmp(kind, "oracle");
}

/* Everything in it is borrowed. */
static struct attempt describe(const struct sched *s, size_t item)
{
	const struct planfile *plan = s->o->plan;
	const struct sched_item *i = &s->items[item].item;
	const struct trial *t = sched_trial(s, item);
	json_t *spec = json_object_get(plan->agents, t->agent);
	struct attempt a = {
		.trial = *t,
		.rollout_id = plan->id,
		.number = sched_progress(s, item)->attempts + 1,
		.agent_from = i->agent_from,
		.regrade = i->regrade,
		.grades_from = i->grades_from,
		.keep_tests = i->keep_tests,
		.keep_judge = i->keep_judge,
		.ratings = i->ratings,
		.stream_output = s->o->listener && s->o->listener->wants_output,
		.sync = is_dear(spec),
		.agent_spec = spec,
		.tools = plan->tools,
		.bench = plan->name,
		.record = s->o->record,
		.replay = s->o->replay ? s->o->replay[i->index] : NULL,
		.replay_or_live = s->o->replay_or_live,
	};

	/* Asking for grades outweighs `evaluate = false`. */
	a.trial.evaluate |= i->regrade;
	/* Without a gateway of ours there is no account to ask by. */
	if (a.trial.evaluate && s->o->control)
		a.judge = plan->judge;
	if (i->task_hash) {
		a.trial.task_hash = (char *)i->task_hash;
		a.trial.task_snapshot = (char *)i->task_snapshot;
	}
	return a;
}

static void journal_start(struct sched *s, struct trial_progress *progress, const struct attempt *a,
			  bool whole)
{
	json_t *fields = json_object();

	if (a->agent_from)
		json_put_int(fields, "agent_from", a->agent_from);
	if (a->regrade)
		json_put_bool(fields, "regrade", true);
	if (whole)
		json_put_bool(fields, "whole", true);
	progress_apply(progress, EVENT_STARTED, a->number, fields);
	if (s->o->world)
		json_decref(fields);
	else
		journal_add(s->o->journal, EVENT_STARTED, &a->trial, a->number, fields);
}

/* Hand it to its launcher: as a new job, or as the one it is already. */
static int launch(struct sched *s, const struct site *site, size_t id, size_t item,
		  struct attempt *a, const struct trial_progress *old, struct err *err)
{
	const struct sched_world *world = s->o->world;

	if (world) {
		world->begin(world->arg, item, a->number);
		const struct launch_job simulated = {
			.id = id, .dir = "", .limits = &a->trial.limits};
		return site->launcher->submit(site->launch, &simulated, err);
	}
	AUTO(free) char *dir = datadir_attempt(a->trial.run_id, a->number);
	AUTO(free) char *agent = token(s, a, "agent");
	AUTO(free) char *judge = token(s, a, "judge");
	const struct launch_job job = {.id = id,
				       .dir = dir,
				       .token = agent,
				       .judge_token = judge,
				       .limits = &a->trial.limits};

	if (old)
		return site->launcher->attach(site->launch, &job, old->job, err);
	site->launcher->place(site->launch, a);
	if (rundir_make(s->o->store->root_fd, a, err))
		return -1;
	return site->launcher->submit(site->launch, &job, err);
}

/* Only a supervisor that is gone can have left an attempt running, and only at a launcher that
 * attaches has it gone on. Grading anew does not wait for it. */
static bool goes_on(const struct sched *s, const struct site *site, size_t item)
{
	return sched_progress(s, item)->state == TRIAL_RUNNING && site->launcher->attach &&
	       !s->items[item].item.regrade;
}

void attempt_start(struct sched *s, size_t id, size_t item)
{
	const struct site *site = sites_of(&s->sites, sched_trial(s, item));
	struct trial_progress *progress = sched_progress(s, item);
	const struct trial_progress *old = goes_on(s, site, item) ? progress : NULL;
	const int64_t first_line_ms = old ? 0 : site->launcher->first_line_ms;
	struct attempt a = describe(s, item);
	struct err err;

	s->items[item].tries++;
	if (old) {
		a.number = old->attempts;
	} else {
		journal_start(s, progress, &a, s->items[item].item.whole);
	}
	if (launch(s, site, id, item, &a, old, &err)) {
		finish_unstarted(s, item, a.number, &err);
		return;
	}
	s->jobs[id] = (struct job){
		.used = true,
		.site = site,
		.item = item,
		.attempt = a.number,
		.deadline_ms = first_line_ms ? clock_mono_ms() + first_line_ms : 0,
		.partial = {BUF_INIT, BUF_INIT},
	};
	s->running++;
}
