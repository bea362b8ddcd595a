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

/* Those of TRIALS, the N whose agents are still to be run. */
static int prepare_calls(struct prepared *out, const struct prepare_request *q,
			 const struct providers *p, const struct trial *trials, size_t n,
			 struct strv *problems, struct err *err)
{
	const bool live = !q->replay || q->replay_or_live;
	struct forecast forecast;

	const struct judge *judge = judge_of(q);

	model_lines(&out->notes, trials, n);
	judge_line(&out->notes, judge);
	if (gateway_document_make(&out->document, p, q->config_path, trials, n, judge, live,
				  problems, err))
		return -1;
	forecast_make(&forecast, q->data_dir, p, trials, live ? n : 0);
	if (forecast_tell(&out->notes, &forecast, q->budget, err))
		return -1;
	return q->replay ? replay_find(&out->replay, q->data_dir, q->replay, q->trials, q->n,
				       q->replay_or_live, &out->notes, err)
			 : 0;
}

int prepare_models(struct prepared *out, const struct prepare_request *q, struct strv *problems,
		   struct err *err)
{
	AUTO(free) struct trial *trials = xcalloc(q->items_n + 1, sizeof *trials);
	AUTO(providers) struct providers own = {0};
	size_t n = 0;

	*out = (struct prepared){.replay_n = q->n, .notes = STRV_INIT};
	for (size_t i = 0; i < q->items_n; i++) {
		trials[n] = q->trials[q->items[i].index];
		n += !q->items[i].agent_from && *trials[n].provider;
	}
	if ((n || judge_of(q)) && !q->providers &&
	    providers_load(&own, q->config_path, problems, err))
		return -1;
	return prepare_calls(out, q, q->providers ? q->providers : &own, trials, n, problems, err);
}

void prepared_release(struct prepared *p)
{
	json_decref(p->document);
	replay_free(p->replay, p->replay_n);
	strv_release(&p->notes);
	*p = (struct prepared){.notes = STRV_INIT};
}
