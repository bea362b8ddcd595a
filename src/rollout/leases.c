/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/leases.h"
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/event.h"
#include "core/launcher.h"
#include "rollout/cost.h"

struct lease {
	size_t trial;
	int attempts; /* of the trial, when it was taken: what comes after is paid from it */
	bool started;
	bool begun; /* its worker has said something */
	struct journal_cost cost;
	struct journal_cost heard; /* of its calls, as its node told it */
	struct journal_cost most;  /* that came between two such lines */
	int64_t lost_until_ms;	   /* its node was lost: out until then; 0: not so */
};

bool lease_is_needed(const struct session *s, const struct trial *t)
{
	return strcmp(t->launcher, LAUNCHER_LOCAL) != 0 && !strv_has(&s->asks_here, t->launcher) &&
	       (*t->provider || (s->plan.judge.provider && t->evaluate));
}

struct journal_cost lease_of(const struct session *s, const struct trial *t)
{
	const struct judge *judge = &s->plan.judge;
	const bool asks = *t->provider, judged = judge->provider && t->evaluate;
	const int64_t tokens = (asks ? t->limits.tokens : 0) + (judged ? judge->tokens : 0);
	const double usd = (asks ? t->limits.usd : 0) + (judged ? judge->usd : 0);

	/* Half as much again: the call that reaches a limit is finished, and ends beyond it. */
	return (struct journal_cost){.tokens = tokens + tokens / 2, .usd = usd * 1.5};
}

static void add(struct leases *l, size_t i, bool started)
{
	GROW(l->v, l->n, l->cap);
	l->v[l->n++] = (struct lease){.trial = i,
				      .attempts = l->s->progress[i].attempts - started,
				      .started = started,
				      .cost = lease_of(l->s, &l->s->plan.trials[i])};
	l->out.usd += l->v[l->n - 1].cost.usd;
	l->out.tokens += l->v[l->n - 1].cost.tokens;
}

void leases_open(struct leases *l, const struct session *s, const json_t *document)
{
	*l = (struct leases){.s = s, .providers = json_object_get(document, "providers")};
	for (size_t i = 0; i < s->plan.n; i++)
		if (s->progress[i].state == TRIAL_RUNNING && lease_is_needed(s, &s->plan.trials[i]))
			add(l, i, true);
}

static bool asks(const struct leases *l, size_t trial, const char *provider)
{
	const struct trial *t = &l->s->plan.trials[trial];
	const char *judge = t->evaluate ? l->s->plan.judge.provider : NULL;

	return !strcmp(t->provider, provider) || (judge && !strcmp(judge, provider));
}

static bool is_free(const struct leases *l, const char *provider)
{
	const int64_t most =
		json_get_int(json_object_get(l->providers, provider), "max_in_flight", 0);
	int64_t n = 0;

	for (size_t k = 0; most && k < l->n; k++)
		n += asks(l, l->v[k].trial, provider);
	return !most || n < most;
}

static bool has_slot(const struct leases *l, size_t trial)
{
	const struct trial *t = &l->s->plan.trials[trial];
	const char *judge = t->evaluate ? l->s->plan.judge.provider : NULL;

	return (!*t->provider || is_free(l, t->provider)) && (!judge || is_free(l, judge));
}

bool leases_take(struct leases *l, size_t i, const struct journal_cost *spent)
{
	const struct budget *b = &l->s->plan.budget;
	const struct journal_cost want = lease_of(l->s, &l->s->plan.trials[i]);

	for (size_t k = 0; k < l->n; k++)
		if (l->v[k].trial == i && !l->v[k].lost_until_ms)
			return true;
	if (!has_slot(l, i))
		return false;
	if ((b->usd > 0 && spent->usd + l->out.usd + want.usd > b->usd) ||
	    (b->tokens && spent->tokens + l->out.tokens + want.tokens > b->tokens))
		return false;
	add(l, i, false);
	return true;
}

void leases_hear(struct leases *l, size_t i, const char *event, const json_t *line)
{
	for (size_t k = 0; k < l->n; k++) {
		struct lease *lease = &l->v[k];
		if (lease->trial != i || lease->lost_until_ms)
			continue;
		lease->begun = true;
		if (strcmp(event, EVENT_SPENDING) != 0)
			return;
		const struct journal_cost now = {.calls = json_get_int(line, "calls", 0),
						 .tokens = json_get_int(line, "tokens", 0),
						 .unpriced_calls =
							 json_get_int(line, "unpriced_calls", 0),
						 .usd = json_get_real(line, "usd", 0)};
		if (now.tokens - lease->heard.tokens > lease->most.tokens)
			lease->most.tokens = now.tokens - lease->heard.tokens;
		if (now.usd - lease->heard.usd > lease->most.usd)
			lease->most.usd = now.usd - lease->heard.usd;
		lease->heard = now;
		return;
	}
}

static void add_spent(struct leases *l, const struct journal_cost *c)
{
	l->spent.calls += c->calls;
	l->spent.tokens += c->tokens;
	l->spent.usd += c->usd;
	l->spent.unpriced_calls += c->unpriced_calls;
}

static void give_back(struct leases *l, size_t k)
{
	l->out.usd -= l->v[k].cost.usd;
	l->out.tokens -= l->v[k].cost.tokens;
	l->v[k] = l->v[--l->n];
	/* Sums of fractions that came and went need not be nothing. */
	if (!l->n)
		l->out = (struct journal_cost){0};
}

/* Of a lost node: what was heard, and as much more as ever came between two words of it, since the last may be missing. One that began, and of
 * which nothing was heard, may have spent all of it. */
static void settle_lost(struct leases *l, size_t k)
{
	const struct lease *lease = &l->v[k];
	struct journal_cost c = lease->heard;

	c.tokens += lease->most.tokens;
	c.usd += lease->most.usd;
	if (!c.calls || c.tokens > lease->cost.tokens)
		c.tokens = lease->cost.tokens;
	if (!c.calls || c.usd > lease->cost.usd)
		c.usd = lease->cost.usd;
	add_spent(l, &c);
	give_back(l, k);
}

/* The trial of lease K has ended. False: its node was lost, and the lease stays out. */
static bool take_back(struct leases *l, size_t k)
{
	struct lease *lease = &l->v[k];
	const struct trial_progress *p = &l->s->progress[lease->trial];
	const struct trial *t = &l->s->plan.trials[lease->trial];
	struct journal_cost logged = {0};

	for (int a = lease->attempts + 1; a <= p->attempts; a++)
		cost_of_attempt(&logged, l->s, lease->trial, a);
	if (logged.calls || p->outcome != OUTCOME_INFRA_ERROR || !lease->begun) {
		add_spent(l, &logged);
		give_back(l, k);
		return true;
	}
	/* Without a deadline it may go on for ever. */
	if (!limits_wall_ms(&t->limits)) {
		add_spent(l, &lease->cost);
		give_back(l, k);
		return true;
	}
	lease->lost_until_ms = clock_mono_ms() + limits_job_sec(&t->limits) * 1000;
	return false;
}

bool leases_return(struct leases *l)
{
	const int64_t now = clock_mono_ms();
	bool news = false;

	for (size_t k = 0; k < l->n;) {
		struct lease *lease = &l->v[k];
		const struct trial_progress *p = &l->s->progress[lease->trial];
		lease->started |= p->attempts > lease->attempts;
		if (lease->lost_until_ms && now >= lease->lost_until_ms)
			settle_lost(l, k);
		else if (lease->lost_until_ms || !lease->started || p->state == TRIAL_RUNNING ||
			 !take_back(l, k)) {
			k++;
			continue;
		}
		news = true;
	}
	return news;
}

int64_t leases_due(const struct leases *l)
{
	int64_t at = -1;

	for (size_t k = 0; k < l->n; k++)
		if (l->v[k].lost_until_ms && (at < 0 || l->v[k].lost_until_ms < at))
			at = l->v[k].lost_until_ms;
	return at;
}

bool leases_settle(struct leases *l)
{
	bool news = leases_return(l);

	for (size_t k = 0; k < l->n;)
		if (l->v[k].lost_until_ms) {
			settle_lost(l, k);
			news = true;
		} else {
			k++;
		}
	return news;
}

void leases_close(struct leases *l)
{
	free(l->v);
	*l = (struct leases){0};
}
