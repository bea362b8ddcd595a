/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/eval-predictions.h"
#include <stdio.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "rollout/predictions.h"
#include "rollout/prepare.h"

static int grade(struct session *s, const struct predictions_request *q, struct session_work *w,
		 const struct strv *notes, struct err *err)
{
	struct display *d = run_view_open(q->view);
	const struct listener listener = display_listener(d);
	struct sched_end end;

	run_view_announce(d, s, w, notes);
	int status = session_run(s, &listener, w, &end, err);
	if (!status) {
		display_end(d, w->n, end.missing);
		run_view_conclude(d, s, &end);
		status = run_view_status(&end);
	}
	display_free(d);
	return status;
}

static int import(struct inputs *in, const struct predictions_request *q,
		  const struct predictions *p, struct session_work *w, const struct strv *notes,
		  struct err *err)
{
	struct session s;

	if (session_create(&s, in, q->config, err))
		return -1;
	int status = predictions_commit(&s, p, err);
	if (status)
		session_undo(&s);
	else
		status = grade(&s, q, w, notes, err);
	session_close(&s);
	return status;
}

/* The plan is what a run of these models would be, with the work done already. */
static int prepare(struct inputs *in, const struct predictions_request *q, struct predictions *p,
		   struct strv *problems, struct err *err)
{
	AUTO(strv) struct strv notes = STRV_INIT;
	struct prepared prepared = {.notes = STRV_INIT};

	if (predictions_choose(in, p, &notes, err))
		return -1;
	AUTO(free) struct sched_item *items = xcalloc(in->plan.n + 1, sizeof *items);
	for (size_t i = 0; i < in->plan.n; i++)
		items[i] = (struct sched_item){.index = i, .agent_from = 1};
	const struct prepare_request request = {
		.trials = in->plan.trials,
		.n = in->plan.n,
		.agents = in->agents,
		.items = items,
		.items_n = in->plan.n,
		.judge = &in->bench.judge,
		.providers = &in->providers,
		.config_path = q->config->path,
		.data_dir = q->config->data_dir,
		.budget = &in->bench.budget,
	};
	int status = prepare_models(&prepared, &request, problems, err);
	struct session_work w = {.items = items,
				 .n = in->plan.n,
				 .parallel = q->parallel,
				 .no_preflight = q->no_preflight,
				 .wall_ms = in->bench.budget.wall_ms,
				 .document = prepared.document};
	strv_pushv(&notes, strv_items(&prepared.notes));
	strv_pushv(&notes, strv_items(&in->plan.notes));
	if (!status)
		status = import(in, q, p, &w, &notes, err);
	prepared_release(&prepared);
	return status;
}

int eval_predictions(const struct predictions_request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct predictions p = {.models = STRV_INIT};
	struct inputs in = {0};
	struct err err;

	int status = predictions_read(&p, q->path, &problems, &err);
	if (!status) {
		AUTO(free) char *rollouts = xasprintf("%d", p.rollouts);
		kvs_set(&q->config->settings, "agent", "import");
		kvs_set(&q->config->settings, "rollouts", rollouts);
		strv_release(&q->config->models);
		strv_pushv(&q->config->models, strv_items(&p.models));
		status = inputs_load(&in, q->config, NULL, &problems, &err) ||
					 (problems.n && err_set(&err, ERR_USAGE, 0, "mistakes"))
				 ? -1
				 : prepare(&in, q, &p, &problems, &err);
		inputs_release(&in);
	}
	predictions_release(&p);
	return status >= 0 ? status : cmd_refuse(&problems, &err);
}
