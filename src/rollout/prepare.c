/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/prepare.h"
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "rollout/forecast.h"
#include "rollout/gateway-document.h"
#include "rollout/replay.h"

/* NULL: nothing of what is to be done will be judged. */
static const struct judge *judge_of(const struct prepare_request *q)
{
	for (size_t i = 0; q->judge && q->judge->provider && i < q->items_n; i++)
		if (q->items[i].regrade || q->trials[q->items[i].index].evaluate)
			return q->judge;
	return NULL;
}

static void judge_line(struct strv *notes, const struct judge *j)
{
	if (j)
		strv_pushf(notes, "judge %s: %s at %s by %s, %d vote%s a rubric", j->model,
			   j->model_id, j->provider, j->api, j->votes, j->votes == 1 ? "" : "s");
}

/* What is to be done, in the order of the plan's items: those whose agents ask a model, and those that are judged. */
struct asked {
	struct trial *agents, *judged; /* borrowed trials in owned lists */
	size_t agents_n, judged_n;
};

static struct asked find_asked(const struct prepare_request *q)
{
	struct asked a = {xcalloc(q->items_n + 1, sizeof *a.agents),
			  xcalloc(q->items_n + 1, sizeof *a.judged), 0, 0};

	for (size_t i = 0; i < q->items_n; i++) {
		const struct sched_item *item = &q->items[i];
		const struct trial *t = &q->trials[item->index];
		if (!item->agent_from && *t->provider)
			a.agents[a.agents_n++] = *t;
		if (!item->keep_judge && (item->regrade || t->evaluate))
			a.judged[a.judged_n++] = *t;
	}
	return a;
}

static void release_asked(struct asked *a)
{
	free(a->agents);
	free(a->judged);
}

static int tell_cost(struct strv *notes, const struct prepare_request *q, const struct providers *p,
		     const struct asked *a, struct err *err)
{
	const bool live = !q->replay || q->replay_or_live;
	const struct forecast_of of = {.trials = a->agents,
				       .n = live ? a->agents_n : 0,
				       .judge = judge_of(q),
				       .judged = a->judged,
				       .judged_n = live ? a->judged_n : 0};
	struct forecast forecast;

	forecast_make(&forecast, q->data_dir, p, &of);
	return forecast_tell(notes, &forecast, q->budget, err);
}

static int prepare_calls(struct prepared *out, const struct prepare_request *q,
			 const struct providers *p, const struct asked *a, struct strv *problems,
			 struct err *err)
{
	const bool live = !q->replay || q->replay_or_live;
	const struct judge *judge = judge_of(q);

	model_lines(&out->notes, a->agents, a->agents_n, q->agents);
	judge_line(&out->notes, judge);
	if (gateway_document_make(&out->document, p, q->config_path, a->agents, a->agents_n, judge,
				  live, problems, err) ||
	    tell_cost(&out->notes, q, p, a, err))
		return -1;
	return q->replay ? replay_find(&out->replay, q->data_dir, q->replay, q->trials, q->n,
				       q->replay_or_live, &out->notes, err)
			 : 0;
}

int prepare_models(struct prepared *out, const struct prepare_request *q, struct strv *problems,
		   struct err *err)
{
	struct asked a = find_asked(q);
	AUTO(providers) struct providers own = {0};

	*out = (struct prepared){.replay_n = q->n, .notes = STRV_INIT};
	int rc = (a.agents_n || judge_of(q)) && !q->providers
			 ? providers_load(&own, q->config_path, problems, err)
			 : 0;
	if (!rc)
		rc = prepare_calls(out, q, q->providers ? q->providers : &own, &a, problems, err);
	release_asked(&a);
	return rc;
}

int prepare_tell(struct strv *notes, const struct prepare_request *q, struct err *err)
{
	struct asked a = find_asked(q);

	judge_line(notes, judge_of(q));
	int rc = tell_cost(notes, q, q->providers, &a, err);
	release_asked(&a);
	return rc;
}

void prepared_release(struct prepared *p)
{
	json_decref(p->document);
	replay_free(p->replay, p->replay_n);
	strv_release(&p->notes);
	*p = (struct prepared){.notes = STRV_INIT};
}
