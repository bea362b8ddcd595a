/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/metered.h"
#include <errno.h>
#include <fcntl.h>
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
#include "core/event.h"
#include "trial/accounts.h"

enum {
	LIMIT_MS = 1500,   /* for an agent that was told no, to end by itself; ended within 2 s */
	FAILED_MS = 10000, /* the same where its model has never answered, */
	LATER_MS = 120000, /* and where it has, and may again */
	STEP_MS = 100,	   /* how often a deadline is asked for again that waiting moves */
	DIFFERENCE = 100,  /* one part in so many between two counts is worth a note */
};

static int64_t stop_after_ms(const struct control_state *s)
{
	if (*s->limit || *s->diverged)
		return LIMIT_MS;
	if (!*s->failed.text)
		return 0;
	return s->answered ? LATER_MS : FAILED_MS;
}

static int64_t wall_end(const struct work *w)
{
	int64_t wall_ms = limits_wall_ms(&w->attempt.trial.limits);

	return wall_ms ? w->agent_start_ms + wall_ms : 0;
}

/* Where the agent's time ends as things stand; 0: it has no end. */
static int64_t working_end(const struct work *w)
{
	int64_t timeout_ms = w->attempt.trial.limits.timeout_ms, wall = wall_end(w);
	int64_t end = w->agent_start_ms + timeout_ms + w->metered.waited_ms;

	if (!timeout_ms)
		return wall;
	return end < wall ? end : wall;
}

static int64_t on_gateway(void *arg)
{
	struct work *w = arg;
	int64_t now = clock_mono_ms(), end, stop;

	if (control_read(w->control, &w->metered, &w->gateway_err) < 0) {
		w->gateway_gone = true;
		return 1;
	}
	stop = stop_after_ms(&w->metered);
	if (!stop) /* nothing, or the provider has come round */
		w->stop_ms = 0;
	else if (!w->stop_ms || now + stop < w->stop_ms)
		w->stop_ms = now + stop;
	end = working_end(w);
	if (end && now >= end) {
		/* While somebody waits nothing is told: asked when it matters. */
		if (control_state(w->control, &w->metered, &w->gateway_err)) {
			w->gateway_gone = true;
			return 1;
		}
		end = working_end(w);
		if (end > now && end < now + STEP_MS)
			end = now + STEP_MS;
	}
	return w->stop_ms && (!end || w->stop_ms < end) ? w->stop_ms : end;
}

const struct sandbox_watch *work_watch(struct work *w)
{
	if (!w->control)
		return NULL;
	w->agent_start_ms = clock_mono_ms();
	w->watch = (struct sandbox_watch){
		.fd = control_fd(w->control), .deadline = on_gateway, .arg = w};
	return &w->watch;
}

int64_t work_agent_ms(const struct work *w)
{
	const struct limits *l = &w->attempt.trial.limits;

	return w->control ? limits_wall_ms(l) : l->timeout_ms;
}

bool work_usage(void *work, struct model_usage *out)
{
	struct work *w = work;
	const struct control_state *s = &w->metered;

	if (w->gateway_gone || control_state(w->control, &w->metered, &w->gateway_err)) {
		w->gateway_gone = true;
		return false;
	}
	*out = (struct model_usage){.calls = s->calls,
				    .tokens_input = s->tokens_input,
				    .tokens_cached = s->tokens_cached,
				    .tokens_output = s->tokens_output,
				    .money_usd = s->usd};
	return true;
}

static void note_difference(struct work *w, int64_t agent, int64_t gateway)
{
	int64_t difference = agent > gateway ? agent - gateway : gateway - agent;
	AUTO(free) char *text = NULL;
	json_t *e;

	if (agent < 0 || difference * DIFFERENCE <= gateway)
		return;
	text = xasprintf("the agent counts %lld tokens, the gateway %lld", (long long)agent,
			 (long long)gateway);
	e = work_event(EVENT_NOTE);
	json_put_str(e, "text", text);
	work_say(w, e);
}

static void take_numbers(struct work *w)
{
	const struct control_state *s = &w->metered;
	struct agent_metrics *m = &w->result.agent.metrics;

	m->tokens_agent = m->tokens_total;
	m->tokens_input = s->tokens_input;
	m->tokens_cached = s->tokens_cached;
	m->tokens_cache_write = s->tokens_cache_write;
	m->tokens_output = s->tokens_output;
	m->tokens_reasoning = s->tokens_reasoning;
	m->tokens_total = s->tokens_input + s->tokens_output;
	m->calls = s->calls;
	m->estimated = s->estimated;
	m->waited_ms = s->waited_ms;
	m->money_usd = s->usd;
	snprintf(m->model_served, sizeof m->model_served, "%s", s->models);
	snprintf(m->keys, sizeof m->keys, "%s", s->keys);
	m->by_model = s->by_model;
	note_difference(w, m->tokens_agent, m->tokens_total);
}

/* A time limit that seems not to be kept: why. */
static void say_waiting(struct work *w)
{
	AUTO(free)
	char *text = xasprintf("%s, not counting %lld s of waiting for the provider",
			       w->result.agent.reason, (long long)w->metered.waited_ms / 1000);

	work_end_agent(w, OUTCOME_TIMEOUT, "", text);
}

/* WHY the model was not to be had, as the attempt's end. WHAT: what that was like. */
static int unasked(struct work *w, const char *what, const struct control_failure *why,
		   struct err *err)
{
	snprintf(w->result.cause, sizeof w->result.cause, CAUSE_PROVIDER);
	w->result.refused = why->refused;
	err_set(err, ERR_INFRA, 0, "%s %s: %s", what, w->attempt.trial.model, why->text);
	err->retry = why->retry;
	return -1;
}

/* Its time ended while it had not worked for all of it. */
static int waited_too_long(struct work *w, struct err *err)
{
	snprintf(w->result.cause, sizeof w->result.cause, CAUSE_PROVIDER);
	err_set(err, ERR_INFRA, 0,
		"wall_timeout_sec is over: %lld of %lld s went by waiting for the provider",
		(long long)w->metered.waited_ms / 1000,
		(long long)(clock_mono_ms() - w->agent_start_ms) / 1000);
	err->retry = true;
	return -1;
}

/* What an agent asked for and was not given is told, however it ended. */
static void say_undeclared(struct work *w)
{
	const struct agent_record *a = &w->result.agent;
	AUTO(free)
	char *text = xasprintf("%s%sasked for the model \"%s\", which is not declared (answered "
			       "403): roles = { NAME = \"%s\" } in its [[tasks]] declares it",
			       a->reason, *a->reason ? "; " : "", w->metered.undeclared,
			       w->metered.undeclared);

	work_end_agent(w, a->outcome, "", text);
}

int work_metered(struct work *w, struct err *err)
{
	const struct control_state *s = &w->metered;
	const int64_t wall = w->control ? wall_end(w) : 0;
	const bool is_late = w->result.agent.outcome == OUTCOME_TIMEOUT;

	if (!w->control)
		return 0;
	if (w->gateway_gone || control_state(w->control, &w->metered, &w->gateway_err)) {
		w->gateway_gone = true;
		*err = w->gateway_err;
		err->retry = true;
		return err_wrap(err, "while the agent ran");
	}
	work_leave_agent(w);
	take_numbers(w);
	if (*s->diverged) {
		w->diverged = true;
		return err_set(err, ERR_LIMIT, 0, "%s", s->diverged);
	}
	/* Whatever an agent exits with when a model of its own is not to be had. */
	if (*s->failed.text)
		return unasked(w, "could not reach", &s->failed, err);
	if (!s->answered && *s->unanswered.text)
		return unasked(w, "no answer from", &s->unanswered, err);
	if (is_late && s->waited_ms && wall && clock_mono_ms() >= wall)
		return waited_too_long(w, err);
	if (*s->limit)
		work_end_agent(w, OUTCOME_BUDGET, "", s->limit);
	else if (is_late && s->waited_ms >= 1000)
		say_waiting(w);
	if (*s->undeclared)
		say_undeclared(w);
	return 0;
}
