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

enum {
	LIMIT_MS = 1500,   /* for an agent that was told no, to end by itself; ended within 2 s */
	FAILED_MS = 10000, /* the same where it may still have something to say */
	WALL_FACTOR = 3,   /* waiting does not count, but not for ever */
	STEP_MS = 100,	   /* how often a deadline is asked for again that waiting moves */
	DIFFERENCE = 100,  /* one part in so many between two counts is worth a note */
};

static int64_t stop_after_ms(const struct control_state *s)
{
	if (*s->limit || *s->diverged)
		return LIMIT_MS;
	return *s->failed.text ? FAILED_MS : 0;
}

/* Where the agent's time ends as things stand; 0: it has no end. */
static int64_t working_end(const struct work *w)
{
	int64_t timeout_ms = w->attempt.trial.limits.timeout_ms;
	int64_t last = w->agent_start_ms + WALL_FACTOR * timeout_ms;
	int64_t end = w->agent_start_ms + timeout_ms + w->metered.waited_ms;

	if (!timeout_ms)
		return 0;
	return end < last ? end : last;
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
	if (stop && !w->stop_ms)
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
	int64_t timeout_ms = w->attempt.trial.limits.timeout_ms;

	return w->control ? WALL_FACTOR * timeout_ms : timeout_ms;
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
	note_difference(w, m->tokens_agent, m->tokens_total);
}

static void end_as(struct work *w, enum outcome outcome, const char *why, const char *text)
{
	AUTO(buf) struct buf line = BUF_INIT;
	char *reason = w->result.agent.reason;
	size_t size = sizeof w->result.agent.reason;

	buf_adds(&line, why);
	text_renders(&line, text, TEXT_TERMINAL_LINE);
	size_t keep = line.len < size ? line.len : text_cut(line.data, size - 1);
	memcpy(reason, line.data, keep);
	reason[keep] = '\0';
	w->result.agent.outcome = outcome;
}

/* A time limit that seems not to be kept: why. */
static void say_waiting(struct work *w)
{
	AUTO(free)
	char *text = xasprintf("%s, not counting %lld s of waiting for the provider",
			       w->result.agent.reason, (long long)w->metered.waited_ms / 1000);

	end_as(w, OUTCOME_TIMEOUT, "", text);
}

int work_metered(struct work *w, struct err *err)
{
	const struct control_state *s = &w->metered;
	/* A model beside its own, for titles say, may be missing where its own was not. */
	const struct control_failure *failed = *s->failed.text ? &s->failed : &s->other_failed;

	if (!w->control)
		return 0;
	if (w->gateway_gone || control_state(w->control, &w->metered, &w->gateway_err)) {
		*err = w->gateway_err;
		err->retry = true;
		return err_wrap(err, "while the agent ran");
	}
	control_close(STEAL(&w->control));
	take_numbers(w);
	if (*s->diverged) {
		w->diverged = true;
		return err_set(err, ERR_LIMIT, 0, "%s", s->diverged);
	}
	if (*failed->text && failed->retry)
		return err_retry(err, 0, "%s", failed->text);
	/* Whatever status an agent exits with when its model is not to be had. */
	if (*failed->text)
		end_as(w, OUTCOME_AGENT_ERROR, "the model could not be asked: ", failed->text);
	else if (*s->limit)
		end_as(w, OUTCOME_BUDGET, "", s->limit);
	else if (w->result.agent.outcome == OUTCOME_TIMEOUT && s->waited_ms >= 1000)
		say_waiting(w);
	return 0;
}
