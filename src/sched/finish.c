// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/event.h"
#include "sched/internal.h"

enum {
	STREAK = 5,
	AT_ONCE_MS = 10 * 1000, /* an agent that failed sooner did not work first */
	SHARE_FROM = 10,	/* trials that ended, before their failures are a share */
	BACKOFF_MS = 1000,
	BACKOFF_MAX_MS = 60000,
};

/* How an attempt ended, from its result.json or from its worker's death. */
struct ending {
	size_t item;
	int attempt;
	enum outcome outcome;
	bool retry;
	bool died;	/* its worker said nothing of an end */
	json_t *result; /* owned */
};

/* A result for an attempt that left none. */
static json_t *make_result(const struct sched *s, size_t item, int attempt, enum outcome outcome,
			   bool retry, const char *cause, const char *reason)
{
	const struct trial *t = sched_trial(s, item);
	const char *hash = s->items[item].item.task_hash;
	struct result r;

	result_init(&r);
	r.run_id = xstrdup(t->run_id);
	r.rollout_id = xstrdup(s->o->plan->id);
	memcpy(r.key, t->key, sizeof r.key);
	r.attempt = attempt;
	snprintf(r.task_hash, sizeof r.task_hash, "%s", hash ? hash : t->task_hash);
	r.outcome = outcome;
	r.retry = retry;
	snprintf(r.cause, sizeof r.cause, "%s", cause);
	r.regrade = s->items[item].item.regrade;
	snprintf(r.reason, sizeof r.reason, "%s", reason);
	r.reason[text_cut(r.reason, sizeof r.reason - 1)] = '\0';
	r.sandbox = xstrdup(sandbox_kind_name(t->sandbox));
	json_t *j = result_to_json(&r);
	result_release(&r);
	return j;
}

static void watch_refusals(struct sched *s, const struct ending *e)
{
	if (e->outcome != OUTCOME_INFRA_ERROR || !json_get_bool(e->result, "refused", false) ||
	    s->refused.trials++)
		return;
	snprintf(s->refused.reason, sizeof s->refused.reason, "%s",
		 json_get_str(e->result, "reason", ""));
	for (size_t n = strlen(s->refused.reason); n && s->refused.reason[n - 1] == '.';)
		s->refused.reason[--n] = '\0'; /* a sentence goes on */
	listener_say(s->o->listener, "paused: %s; nothing more is started", s->refused.reason);
}

/* Its agent failed at once and never asked the model that it is there to ask: it was not started as it should be. */
static bool never_asked(const struct sched *s, const struct ending *e)
{
	const json_t *agent = json_object_get(e->result, "agent"),
		     *metrics = json_object_get(agent, "metrics");

	return e->outcome == OUTCOME_AGENT_ERROR && *sched_trial(s, e->item)->provider &&
	       json_get_int(agent, "exit_status", 0) != 0 &&
	       json_get_int(metrics, "calls", -1) == 0 &&
	       json_get_int(metrics, "wall_ms", AT_ONCE_MS) < AT_ONCE_MS;
}

/* Failures of one kind, whatever their words: the first trials of all, since then the set-up is at fault; or any trials in
 * a row whose provider cannot be asked, since one task that cannot be had is no reason to leave out the others. */
static void watch_streak(struct sched *s, const struct ending *e)
{
	struct streak *k = &s->streak;
	const char *reason = json_get_str(e->result, "reason", "");
	const char *cause = json_get_str(e->result, "cause", "");
	const bool idle = never_asked(s, e);
	const char *kind = idle ? "agent" : *cause ? cause : reason;

	if (e->outcome == OUTCOME_CANCELLED)
		return;
	if (e->outcome != OUTCOME_INFRA_ERROR && !idle) {
		if (k->paused)
			listener_say(s->o->listener, "going on: a trial got further");
		*k = (struct streak){.broken = true};
		return;
	}
	if (k->failures && strcmp(k->kind, kind))
		*k = (struct streak){.broken = true};
	if (k->broken && strcmp(cause, CAUSE_PROVIDER))
		return;
	if (!k->failures) {
		snprintf(k->reason, sizeof k->reason, "%s", reason);
		snprintf(k->kind, sizeof k->kind, "%s", kind);
	}
	/* A second try of a trial says nothing new. */
	k->failures += s->items[e->item].tries == 1;
	if (k->failures < STREAK || k->paused)
		return;
	k->paused = true;
	listener_say(s->o->listener, "paused: %d trials in a row failed for one reason%s: %s",
		     STREAK, idle ? ", before their agent had asked its model once" : "",
		     k->reason);
}

/* fail_on_error: too large a share of those that ended. */
static void watch_share(struct sched *s, const struct ending *e)
{
	const double allowed = s->o->plan->fail_on_error;

	s->failed += e->outcome == OUTCOME_INFRA_ERROR || e->outcome == OUTCOME_AGENT_ERROR;
	if (!(allowed > 0) || s->done < SHARE_FROM ||
	    (double)s->failed <= allowed * (double)s->done || s->too_many_failed)
		return;
	s->too_many_failed = true;
	listener_say(s->o->listener, "paused: %zu of %zu trials failed, fail_on_error = %g",
		     s->failed, s->done, allowed);
}

static void journal_end(struct sched *s, const struct ending *e)
{
	json_t *fields = progress_finished(e->outcome, e->result);

	if (progress_apply(sched_progress(s, e->item), EVENT_FINISHED, e->attempt, fields) &&
	    !s->o->world) {
		struct manifest m = {s->o->store, s->o->ref, s->o->plan, s->o->progress,
				     s->o->dir_fd};
		struct err err;
		if (manifest_task_result(&m, s->items[e->item].item.index, e->result, &err)) {
			log_warn("%s", err.msg);
			snprintf(s->underived, sizeof s->underived, "%s", err.msg);
		}
	}
	if (s->o->world) {
		json_decref(fields);
		return;
	}
	journal_add(s->o->journal, EVENT_FINISHED, sched_trial(s, e->item), e->attempt, fields);
	s->manifest_stale = true;
}

/* Half to one and a half times the doubling step, so that many failures do not come back together.
 */
static int64_t backoff_ms(int tries)
{
	int64_t step = tries < 7 ? (int64_t)BACKOFF_MS << (tries - 1) : BACKOFF_MAX_MS;

	if (step > BACKOFF_MAX_MS)
		step = BACKOFF_MAX_MS;
	return step / 2 + clock_mono_ns() / 1000 % step;
}

/* A worker that died after its agent's work was committed gets one more try to grade it, whatever
 * `retries` says: the expensive part is done. */
static bool try_again(struct sched *s, const struct ending *e)
{
	struct item *p = &s->items[e->item];
	int committed = sched_progress(s, e->item)->agent_committed;
	int allowed = sched_trial(s, e->item)->retries;

	if (e->outcome != OUTCOME_INFRA_ERROR || !e->retry || s->level || s->failed_fast)
		return false;
	if (!allowed && e->died && committed == e->attempt)
		allowed = 1;
	if (!strcmp(json_get_str(e->result, "cause", ""), CAUSE_NO_ROOM) && disk_refused(&s->disk))
		p->tries--; /* none of the trial's: it waits until there is room */
	if (p->tries > allowed)
		return false;
	if (committed > p->item.agent_from && !p->item.regrade)
		p->item.agent_from = committed;
	queue_retry(&s->queue, e->item, clock_mono_ms() + backoff_ms(p->tries));
	return true;
}

/* OUTCOME is CANCELLED for what was interrupted, too. */
static void tell_end(const struct sched *s, size_t item, enum outcome outcome, const char *why)
{
	bool missing = outcome_is_missing(outcome);
	/* How the agent once ended is no failure of grading it again. */
	bool ok = s->items[item].item.regrade ? !missing : outcome == OUTCOME_COMPLETED;

	listener_tell(s->o->listener, &(struct listener_event){
					      .kind = LISTENER_ENDED,
					      .run_id = sched_trial(s, item)->run_id,
					      .ok = ok,
					      .cut = outcome == OUTCOME_CANCELLED,
					      .missing = missing,
					      .status = manifest_status(sched_progress(s, item)),
					      .text = why,
					      .len = strlen(why),
				      });
}

static void show(struct sched *s, const struct ending *e)
{
	const char *reason = json_get_str(e->result, "reason", "");
	AUTO(free)
	char *text = xasprintf("%s%s%s", outcome_name(e->outcome), *reason ? ": " : "", reason);

	tell_end(s, e->item, e->outcome, text);
}

static void settle(struct sched *s, const struct ending *e)
{
	struct item *p = &s->items[e->item];

	p->done = true;
	s->done += e->outcome != OUTCOME_CANCELLED;
	sites_count(&s->sites, sched_trial(s, e->item));
	show(s, e);
	if (s->o->on_done)
		s->o->on_done(s->o->on_done_arg, e->item, e->outcome);
	if (s->o->fail_fast &&
	    (e->outcome == OUTCOME_INFRA_ERROR || e->outcome == OUTCOME_AGENT_ERROR)) {
		s->failed_fast = true;
		snprintf(s->failed_why, sizeof s->failed_why, "%s: %s",
			 sched_trial(s, e->item)->run_id, json_get_str(e->result, "reason", ""));
	}
	watch_share(s, e);
}

static void end_attempt(struct sched *s, struct ending *e)
{
	journal_end(s, e);
	if (!try_again(s, e))
		settle(s, e);
	watch_refusals(s, e);
	watch_streak(s, e);
	json_decref(e->result);
}

void finish_unstarted(struct sched *s, size_t item, int attempt, const struct err *why)
{
	struct ending e = {
		.item = item,
		.attempt = attempt,
		.outcome = OUTCOME_INFRA_ERROR,
		.retry = why->retry,
		.result = make_result(s, item, attempt, OUTCOME_INFRA_ERROR, why->retry,
				      err_no_room(why) ? CAUSE_NO_ROOM : "start", why->msg),
	};
	end_attempt(s, &e);
}

/* Why a worker is gone without a result. */
static void explain_death(const struct sched *s, const struct job *job, const char *how,
			  struct buf *out)
{
	AUTO(buf) struct buf words = BUF_INIT;

	if (job->late) {
		buf_addf(out, "the %s phase went past its deadline and the worker was killed",
			 *job->phase ? job->phase : "first");
		return;
	}
	buf_adds(out, "the worker ended without a result: ");
	text_renders(out, how, TEXT_TERMINAL_LINE);
	rundir_last_words(s->o->store->root_fd, sched_trial(s, job->item)->run_id, job->attempt,
			  &words);
	if (words.len) {
		buf_adds(out, ": ");
		text_renders(out, words.data, TEXT_TERMINAL_LINE);
	}
}

/* The sandbox of a dead worker ends a moment after it. */
static void sweep(struct sched *s, const struct job *job)
{
	AUTO(free) char *dir = datadir_attempt(sched_trial(s, job->item)->run_id, job->attempt);

	if (s->o->sweep && !s->o->sweep(s->o->store->root_fd, dir))
		strv_take(&s->leftovers, STEAL(&dir));
}

/* Killed on the user's word: not an end of the attempt, resume goes on from what is committed. */
static void interrupted(struct sched *s, const struct job *job)
{
	const struct trial *t = sched_trial(s, job->item);

	journal_add(s->o->journal, EVENT_INTERRUPTED, t, job->attempt, NULL);
	progress_apply(sched_progress(s, job->item), EVENT_INTERRUPTED, job->attempt, NULL);
	s->manifest_stale = true;
	tell_end(s, job->item, OUTCOME_CANCELLED, "interrupted");
}

static void judge(struct sched *s, const struct job *job, const char *how)
{
	struct rundir_left left;
	struct ending e = {.item = job->item, .attempt = job->attempt};

	const struct sched_world *world = s->o->world;
	if (world)
		world->look(world->arg, job->item, &left);
	else
		rundir_look(s->o->store->root_fd, s->o->plan, sched_trial(s, job->item),
			    job->attempt, &left);
	if (left.agent_committed && sched_progress(s, job->item)->agent_committed < job->attempt) {
		journal_add(s->o->journal, EVENT_AGENT_DONE, sched_trial(s, job->item),
			    job->attempt, NULL);
		progress_apply(sched_progress(s, job->item), EVENT_AGENT_DONE, job->attempt, NULL);
	}
	if (left.result) {
		e.outcome = left.outcome;
		e.retry = left.retry;
		e.result = left.result;
	} else if (s->level >= INTERRUPT_STOP) {
		sweep(s, job);
		interrupted(s, job);
		return;
	} else {
		AUTO(buf) struct buf why = BUF_INIT;
		sweep(s, job);
		explain_death(s, job, how, &why);
		e.outcome = OUTCOME_INFRA_ERROR;
		e.retry = e.died = true;
		e.result = make_result(s, job->item, job->attempt, e.outcome, true,
				       disk_refused(&s->disk) ? CAUSE_NO_ROOM : CAUSE_WORKER,
				       why.data);
	}
	end_attempt(s, &e);
}

void finish_job(struct sched *s, size_t id, const char *how)
{
	struct job *job = &s->jobs[id];
	const char *run_id = sched_trial(s, job->item)->run_id;

	for (int i = 0; i < 2; i++) {
		if (job->partial[i].len)
			listener_output(s->o->listener, run_id, job->partial[i].data,
					job->partial[i].len);
		buf_release(&job->partial[i]);
	}
	s->running--;
	judge(s, job, how);
	job->used = false;
}
