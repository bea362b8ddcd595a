/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/leases.h"
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "core/launcher.h"
#include "rollout/cost.h"

struct lease {
	size_t trial;
	int attempts; /* of the trial, when it was taken: what comes after is paid from it */
	bool started;
	struct journal_cost cost;
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
		if (l->v[k].trial == i)
			return true;
	if (!has_slot(l, i))
		return false;
	if ((b->usd > 0 && spent->usd + l->out.usd + want.usd > b->usd) ||
	    (b->tokens && spent->tokens + l->out.tokens + want.tokens > b->tokens))
		return false;
	add(l, i, false);
	return true;
}

/* A node that died brought no call log: then all that it was given counts as spent. */
static void give_back(struct leases *l, const struct lease *lease)
{
	struct journal_cost logged = {0};
	const struct trial_progress *p = &l->s->progress[lease->trial];

	for (int a = lease->attempts + 1; a <= p->attempts; a++)
		cost_of_attempt(&logged, l->s, lease->trial, a);
	if (!logged.calls && p->outcome == OUTCOME_INFRA_ERROR)
		logged = lease->cost;
	l->spent.calls += logged.calls;
	l->spent.tokens += logged.tokens;
	l->spent.usd += logged.usd;
	l->spent.unpriced_calls += logged.unpriced_calls;
	l->out.usd -= lease->cost.usd;
	l->out.tokens -= lease->cost.tokens;
}

bool leases_return(struct leases *l)
{
	bool news = false;

	for (size_t k = 0; k < l->n;) {
		struct lease *lease = &l->v[k];
		const struct trial_progress *p = &l->s->progress[lease->trial];
		lease->started |= p->attempts > lease->attempts;
		if (!lease->started || p->state == TRIAL_RUNNING) {
			k++;
			continue;
		}
		give_back(l, lease);
		*lease = l->v[--l->n];
		news = true;
	}
	/* Sums of fractions that came and went need not be nothing. */
	if (!l->n)
		l->out = (struct journal_cost){0};
	return news;
}

void leases_close(struct leases *l)
{
	free(l->v);
	*l = (struct leases){0};
}
