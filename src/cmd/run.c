/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/bench-options.h"
#include "cmd/cmd.h"
#include "cmd/run-view.h"
#include "rollout/forecast.h"
#include "rollout/gateway-document.h"
#include "rollout/inputs.h"
#include "rollout/replay.h"
#include "rollout/session.h"

struct request {
	struct config_request config;
	struct run_view view;
	bool dry_run;
};

static void print_plan(const struct inputs *in)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_addf(&text, "%s: %zu trial%s, %d at a time\n", in->bench.name, in->plan.n,
		 in->plan.n == 1 ? "" : "s", in->bench.parallel);
	for (size_t i = 0; i < in->plan.n; i++) {
		const struct trial *t = &in->plan.trials[i];
		AUTO(buf) struct buf line = BUF_INIT;
		buf_addf(&line, "%5d  %s  agent %s", t->index, t->task_id, t->agent);
		if (*t->model)
			buf_addf(&line, "  model %s", t->model);
		if (*t->variant)
			buf_addf(&line, "  %s", t->variant);
		buf_addf(&line, "  rollout %d  sandbox %s  timeout %.15gs", t->rollout,
			 sandbox_kind_name(t->sandbox), (double)t->limits.timeout_ms / 1000);
		text_renders(&text, line.data, TEXT_TERMINAL_LINE);
		buf_addc(&text, '\n');
	}
	fwrite(text.data, 1, text.len, stdout);
}

/* A line for people who start again what they meant to finish; NULL when there is nothing to say.
 */
static char *point_to_resume(const struct session *s)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	struct err ignored;
	char *line = NULL;

	if (store_list(&s->store, s->plan.name, &refs, &n, &ignored))
		return NULL;
	for (size_t i = n; i-- && !line;) {
		if (!strcmp(refs[i].stamp, s->ref.stamp))
			continue;
		AUTO(free) char *state = manifest_state(&s->store, &refs[i]);
		if (!strcmp(state, "complete") || rollout_is_live(&s->store, &refs[i]))
			break;
		AUTO(buf) struct buf command = BUF_INIT;
		store_command(&command, s->store.root, &refs[i], "resume");
		line = xasprintf("rollout %s is unfinished; to go on with it: %s", refs[i].stamp,
				 command.data);
	}
	for (size_t i = 0; i < n; i++)
		rollout_ref_release(&refs[i]);
	free(refs);
	return line;
}

static int execute(struct session *s, const struct request *q, struct session_work *w)
{
	AUTO(free) struct sched_item *items = xcalloc(s->plan.n ? s->plan.n : 1, sizeof *items);
	AUTO(free) char *note = point_to_resume(s);
	struct display *d = run_view_open(&q->view);
	const struct listener listener = display_listener(d);
	struct sched_end end;
	struct err err;

	for (size_t i = 0; i < s->plan.n; i++)
		items[i].index = i;
	w->items = items;
	w->n = s->plan.n;
	w->note = note;
	run_view_announce(d, s, w);
	int status = session_run(s, &listener, w, &end, &err);
	if (!status) {
		display_end(d, w->n, end.missing);
		run_view_conclude(d, s, &end);
	}
	display_free(d);
	return status ? cmd_fail(&err) : run_view_status(&end);
}

static int run_plan(struct inputs *in, const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(strv) struct strv notes = STRV_INIT;
	AUTO(json) json_t *document = NULL;
	const struct config_request *c = &q->config;
	struct session s;
	struct err err;

	if (q->dry_run) {
		print_plan(in);
		return CMD_OK;
	}
	/* Before anything is written: a rollout that cannot ask its models would only be in the way. */
	model_lines(&notes, in->plan.trials, in->plan.n);
	if (gateway_document_make(&document, &in->providers, c->path, in->plan.trials, in->plan.n,
				  !c->replay || c->replay_or_live, &problems, &err))
		return cmd_refuse(&problems, &err);
	struct forecast forecast;
	forecast_make(&forecast, c->data_dir, &in->providers, in->plan.trials,
		      c->replay && !c->replay_or_live ? 0 : in->plan.n);
	if (forecast_tell(&notes, &forecast, &in->bench.budget, &err))
		return cmd_fail(&err);
	char **replay = NULL;
	if (c->replay && replay_find(&replay, c->data_dir, c->replay, in->plan.trials, in->plan.n,
				     c->replay_or_live, &err))
		return cmd_fail(&err);
	size_t n = in->plan.n;
	if (session_create(&s, in, c, &err)) {
		replay_free(replay, n);
		return cmd_fail(&err);
	}
	s.replay = replay;
	int status = execute(&s, q, &(struct session_work){.notes = &notes, .document = document});
	session_close(&s);
	return status;
}

static int run(const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct inputs in;
	struct err err;
	int status;

	if (inputs_load(&in, &q->config, NULL, 0, &problems, &err))
		status = cmd_refuse(&problems, &err);
	else
		status = run_plan(&in, q);
	inputs_release(&in);
	return status;
}

int cmd_run(int argc, char **argv)
{
	struct request q = {0};
	const struct option options[] = {
		BENCH_OPTIONS(&q.config),
		{.name = "replay",
		 .arg = "NAME@STAMP",
		 .kind = OPTION_STR,
		 .target = &q.config.replay,
		 .help = "answer model calls from the recordings of that rollout, at no cost"},
		{.name = "replay-or-live",
		 .kind = OPTION_FLAG,
		 .target = &q.config.replay_or_live,
		 .help = "with --replay: what was not recorded goes to the provider"},
		{.name = "dry-run",
		 .kind = OPTION_FLAG,
		 .target = &q.dry_run,
		 .help = "print the plan, do nothing"},
		RUN_VIEW_OPTIONS(&q.view),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "run",
		.operands = "CONFIG",
		.min = 1,
		.max = 1,
		.summary =
			"run a benchmark: every task with every model, as many rollouts as asked",
		.text = "Results are kept below data/ (see --data-dir). Interrupt once to let "
			"running trials\n"
			"finish, twice to stop them; `rollouts resume NAME` finishes what is "
			"missing.\n"
			"Exit status: 0 every trial has a result, 1 something is missing, 2 a "
			"mistake in the\n"
			"configuration, 3 the machine's fault, 130 interrupted.",
		.options = options,
		.examples =
			"rollouts run examples/hello/hello.toml\n"
			"rollouts run bench.toml -j8 --model gpt-4 --rollouts 5 --tag baseline\n"
			"rollouts run bench.toml --dry-run\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0 && q.config.replay_or_live && !q.config.replay) {
		struct err err;
		err_set(&err, ERR_USAGE, 0, "--replay-or-live needs --replay NAME@STAMP");
		status = cmd_fail(&err);
	} else if (status < 0) {
		q.config.path = operands.v[0];
		status = run(&q);
	}
	config_request_release(&q.config);
	return status;
}
