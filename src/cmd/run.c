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
#include "cmd/operands.h"
#include "cmd/run-view.h"
#include "cmd/validate-run.h"
#include "core/api.h"
#include "model/endpoint.h"
#include "core/roles.h"
#include "rollout/gateway-document.h"
#include "rollout/inputs.h"
#include "rollout/key-leaks.h"
#include "rollout/prepare.h"
#include "rollout/session.h"

struct request {
	struct config_request config;
	struct run_view view;
	bool no_preflight;
	bool dry_run;
	bool check;
};

/* Where each model is asked: a base URL in another form than the one meant is seen before it costs a night. */
static void print_url(const struct inputs *in, const char *model_id, const char *provider,
		      const char *name, struct strv *seen, struct buf *text)
{
	const struct provider *v = provider ? providers_find(&in->providers, provider) : NULL;
	const int api = v ? api_find(name) : -1;
	AUTO(buf) struct buf line = BUF_INIT;

	if (api < 0)
		return;
	buf_addf(&line, "%s is asked at ", model_id);
	endpoint_url_of(&line, v->base_url, kvs_get(&v->paths, name), (enum api)api, model_id);
	if (strv_has(seen, line.data))
		return;
	strv_push(seen, line.data);
	text_renders(text, line.data, TEXT_TERMINAL_LINE);
	buf_addc(text, '\n');
}

static void print_urls(const struct inputs *in, struct buf *text)
{
	AUTO(strv) struct strv seen = STRV_INIT;
	const char *name;
	json_t *role;

	for (size_t i = 0; i < in->plan.n; i++) {
		const struct trial *t = &in->plan.trials[i];
		print_url(in, t->model_id, t->provider, t->api, &seen, text);
		json_object_foreach (t->roles, name, role)
			print_url(in, role_get(t->roles, name, "model_id"),
				  role_get(t->roles, name, "provider"),
				  role_get(t->roles, name, "api"), &seen, text);
	}
}

/* An exit status. */
static int print_plan(const struct inputs *in, const struct prepare_request *request)
{
	AUTO(strv) struct strv notes = STRV_INIT;
	struct err err;
	AUTO(buf) struct buf text = BUF_INIT;

	buf_addf(&text, "%s: %zu trial%s, %d at a time\n", in->bench.name, in->plan.n,
		 in->plan.n == 1 ? "" : "s", in->bench.parallel);
	for (size_t i = 0; i < in->plan.n; i++) {
		const struct trial *t = &in->plan.trials[i];
		AUTO(buf) struct buf line = BUF_INIT;
		buf_addf(&line, "%5d  %s  ", t->index, t->task_id);
		gateway_document_agent(&line, in->agents, t->agent);
		if (*t->model)
			buf_addf(&line, "  model %s", t->model);
		if (t->provider && *t->provider)
			buf_addf(&line, " (%s at %s by %s)", t->model_id, t->provider, t->api);
		gateway_document_roles(&line, t->roles);
		if (*t->variant)
			buf_addf(&line, "  %s", t->variant);
		buf_addf(&line, "  rollout %d  sandbox %s  timeout %.15gs", t->rollout,
			 sandbox_kind_name(t->sandbox), (double)t->limits.timeout_ms / 1000);
		text_renders(&text, line.data, TEXT_TERMINAL_LINE);
		buf_addc(&text, '\n');
	}
	print_urls(in, &text);
	int refused = prepare_tell(&notes, request, &err);
	for (size_t i = 0; i < notes.n; i++) {
		text_renders(&text, notes.v[i], TEXT_TERMINAL_LINE);
		buf_addc(&text, '\n');
	}
	fwrite(text.data, 1, text.len, stdout);
	return refused ? cmd_fail(&err) : CMD_OK;
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

static int execute(struct session *s, const struct request *q, struct session_work *w,
		   const struct strv *notes)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	AUTO(free) char *unfinished = point_to_resume(s);
	struct display *d = run_view_open(&q->view);
	const struct listener listener = display_listener(d);
	struct sched_end end;
	struct err err;

	if (unfinished)
		strv_push(&lines, unfinished);
	strv_pushv(&lines, strv_items(notes));
	run_view_announce(d, s, w, &lines);
	int status = session_run(s, &listener, w, &end, &err);
	if (!status) {
		display_end(d, w->n, end.missing);
		run_view_conclude(d, s, &end);
	}
	display_free(d);
	return status ? cmd_fail(&err) : run_view_status(&end);
}

static int run_prepared(struct inputs *in, const struct request *q, const struct prepared *p,
			const struct sched_item *items)
{
	struct session_work w = {
		.items = items,
		.n = in->plan.n,
		.no_preflight = q->no_preflight,
		.wall_ms = in->bench.budget.wall_ms,
		.document = p->document,
		.replay = p->replay,
	};
	struct session s;
	struct err err;

	if (session_create(&s, in, &q->config, &err))
		return cmd_fail(&err);
	int status = execute(&s, q, &w, &p->notes);
	session_close(&s);
	return status;
}

static int run_plan(struct inputs *in, const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(free) struct sched_item *items = xcalloc(in->plan.n + 1, sizeof *items);
	const struct config_request *c = &q->config;
	const struct prepare_request request = {
		.trials = in->plan.trials,
		.n = in->plan.n,
		.agents = in->agents,
		.items = items,
		.items_n = in->plan.n,
		.judge = &in->bench.judge,
		.providers = &in->providers,
		.config_path = c->path,
		.data_dir = c->data_dir,
		.budget = &in->bench.budget,
		.replay = c->replay,
		.replay_or_live = c->replay_or_live,
	};
	struct prepared prepared;
	struct err err;

	for (size_t i = 0; i < in->plan.n; i++)
		items[i].index = i;
	if (q->dry_run)
		return print_plan(in, &request);
	int status;
	if (prepare_models(&prepared, &request, &problems, &err) ||
	    key_leaks_check(in, prepared.document, &problems, &err)) {
		status = cmd_refuse(&problems, &err);
	} else {
		strv_pushv(&prepared.notes, strv_items(&in->plan.notes));
		status = run_prepared(in, q, &prepared, items);
	}
	prepared_release(&prepared);
	return status;
}

/* Tasks whose tests do not say what they should are left out, by their folders. *N: how many. */
static int quarantine(struct request *q, size_t *n)
{
	const struct grade_check_request request = {.times = 2};
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *tasks = NULL;
	struct err err;
	size_t i;
	json_t *t;

	if (!strcmp(q->config.path, "-")) {
		err_set(&err, ERR_USAGE, 0,
			"--check reads the benchmark twice: give a file and not standard input");
		return cmd_fail(&err);
	}
	if (validate_tasks(&tasks, &q->config, &request, &problems, &err))
		return cmd_refuse(&problems, &err);
	if (!q->view.json)
		validate_print(tasks);
	json_array_foreach (tasks, i, t) {
		if (!json_array_size(json_object_get(t, "findings")))
			continue;
		strv_push(&q->config.exclude, json_get_str(t, "task_dir", ""));
		++*n;
	}
	if (*n == json_array_size(tasks) && *n) {
		err_set(&err, ERR_USAGE, 0, "every task has findings: nothing is left to run");
		return cmd_fail(&err);
	}
	return -1;
}

static int run(const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct inputs in;
	struct err err;
	int status;

	if (inputs_load(&in, &q->config, NULL, &problems, &err))
		status = cmd_refuse(&problems, &err);
	else
		status = run_plan(&in, q);
	inputs_release(&in);
	return status;
}

/* One question, answered by the user at the terminal. */
static bool ask(const char *question)
{
	char answer[64] = "";

	fprintf(stderr, "%s [y/N] ", question);
	fflush(stderr);
	if (!fgets(answer, sizeof answer, stdin))
		return false;
	return *answer == 'y' || *answer == 'Y';
}

/* An exit status. */
static int begin(struct request *q, const struct strv *operands)
{
	const bool tasks = q->config.tasks.n > 0;
	size_t quarantined = 0;
	int status = -1;
	struct err err;

	if (q->config.replay_or_live && !q->config.replay)
		err_set(&err, ERR_USAGE, 0, "--replay-or-live needs --replay NAME@STAMP");
	else if (operands->n && tasks)
		err_set(&err, ERR_USAGE, 0, "give a CONFIG or --tasks DIR, not both");
	else if (!operands->n && !tasks)
		err_set(&err, ERR_USAGE, 0,
			"what is to be run? give a CONFIG, or tasks with --tasks DIR");
	else
		status = 0;
	if (status)
		return cmd_fail(&err);
	AUTO(free) char *file = tasks ? xstrdup("--tasks") : operand_file(operands->v[0]);
	q->config.path = file;
	q->config.ask = isatty(STDIN_FILENO) && isatty(STDERR_FILENO) ? ask : NULL;
	status = q->check ? quarantine(q, &quarantined) : -1;
	if (status < 0)
		status = run(q);
	/* What was asked for is not all there. */
	return quarantined && status == CMD_OK ? 1 : status;
}

int cmd_run(int argc, char **argv)
{
	struct request q = {0};
	const struct option options[] = {
		BENCH_OPTIONS(&q.config),
		{.name = "tasks",
		 .arg = "DIR",
		 .kind = OPTION_STRV,
		 .target = &q.config.tasks,
		 .help = "run these tasks without a CONFIG: a task, a folder of tasks, a glob; "
			 "repeatable"},
		{.name = "replay",
		 .arg = "NAME@STAMP",
		 .kind = OPTION_STR,
		 .target = &q.config.replay,
		 .help = "answer model calls from the recordings of that rollout, at no cost"},
		{.name = "replay-or-live",
		 .kind = OPTION_FLAG,
		 .target = &q.config.replay_or_live,
		 .help = "with --replay: what was not recorded goes to the provider"},
		{.name = "pull",
		 .kind = OPTION_FLAG,
		 .target = &q.config.pull,
		 .help = "ask the registry for newer images, also for those of FROM"},
		{.name = "rebuild",
		 .kind = OPTION_FLAG,
		 .target = &q.config.rebuild,
		 .help = "build images anew, without the engine's cache"},
		{.name = "allow-emulation",
		 .kind = OPTION_FLAG,
		 .target = &q.config.allow_emulation,
		 .help = "run images for another processor, many times slower"},
		{.name = "check",
		 .kind = OPTION_FLAG,
		 .target = &q.check,
		 .help = "first validate --run; tasks with findings are left out"},
		{.name = "dry-run",
		 .kind = OPTION_FLAG,
		 .target = &q.dry_run,
		 .help = "print the plan, do nothing"},
		RUN_VIEW_OPTIONS(&q.view),
		OPTION_NO_PREFLIGHT(&q.no_preflight),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "run",
		.operands = "[CONFIG]",
		.min = 0,
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
			"rollouts run bench.toml --dry-run\n"
			"rollouts run --tasks terminal-bench/ -a claude-code -m sonnet -k 5\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0)
		status = begin(&q, &operands);
	config_request_release(&q.config);
	return status;
}
