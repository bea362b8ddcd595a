/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/run-view.h"
#include "rollout/inputs.h"
#include "rollout/prepare.h"
#include "rollout/regrade.h"
#include "rollout/session.h"

struct request {
	struct config_request config; /* its path is --config, or NULL */
	struct run_view view;
	bool no_preflight;
	const char *selector;
	struct strv retry; /* names of outcomes */
	struct strv rerun; /* tasks, by id or glob, and runs */
	bool again[OUTCOME_COUNT_];
	int64_t parallel;
	bool dry_run;
	bool regrade;	   /* with --config: what tasks became since, for all trials */
	struct strv notes; /* what --config changed */
};

static int read_outcomes(struct request *q, struct err *err)
{
	AUTO(buf) struct buf names = BUF_INIT;

	for (int o = 0; o < OUTCOME_COUNT_; o++)
		buf_addf(&names, "%s%s", o ? ", " : "", outcome_name(o));
	for (size_t i = 0; i < q->retry.n; i++) {
		enum outcome o;
		if (!outcome_parse(q->retry.v[i], &o))
			return err_set(err, ERR_USAGE, 0, "--retry %s: an outcome is one of %s",
				       q->retry.v[i], names.data);
		q->again[o] = true;
	}
	return 0;
}

static bool is_rerun(const struct request *q, const char *name)
{
	for (size_t i = 0; i < q->rerun.n; i++)
		if (!fnmatch(q->rerun.v[i], name, 0))
			return true;
	return false;
}

static int check_rerun(const struct request *q, const struct session *s, struct err *err)
{
	for (size_t i = 0; i < q->rerun.n; i++) {
		bool found = false;
		for (size_t k = 0; k < s->plan.n && !found; k++)
			found = !fnmatch(q->rerun.v[i], s->plan.trials[k].task_id, 0) ||
				!fnmatch(q->rerun.v[i], s->plan.trials[k].run_id, 0);
		if (!found)
			return err_set(err, ERR_USAGE, 0,
				       "--rerun: no task and no run of %s %s is \"%s\"",
				       s->plan.name, s->plan.stamp, q->rerun.v[i]);
	}
	return 0;
}

/* Its task changed since it was graded, and the user wants it to be of the task as it is now. */
static bool is_outdated(const struct trial *t, const struct trial_progress *m)
{
	return trial_is_moved(t) && t->evaluate &&
	       (!m->graded || strcmp(m->graded, t->task_hash) != 0);
}

/* Whether a trial is to be run, and from which committed work it goes on. What the user asks to
 * retry is done again from the beginning. */
static bool choose(const struct request *q, const struct trial *t, const struct trial_progress *m,
		   struct sched_item *item)
{
	/* All rollouts of a task are no selection of those that somebody liked less. */
	item->whole = is_rerun(q, t->task_id);
	if (item->whole || is_rerun(q, t->run_id))
		return true;
	if (m->result_attempt && q->again[m->outcome]) {
		item->agent_from = outcome_is_missing(m->outcome) ? m->agent_committed : 0;
		return true;
	}
	item->agent_from = m->agent_committed;
	item->regrade = progress_has_result(m) && m->agent_committed && is_outdated(t, m);
	return item->regrade || !progress_has_result(m);
}

static size_t make_items(const struct request *q, const struct session *s, struct sched_item *items)
{
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++) {
		items[n] = (struct sched_item){.index = i};
		n += choose(q, &s->plan.trials[i], &s->progress[i], &items[n]);
	}
	return n;
}

static void print_plan(const struct session *s, const struct request *q,
		       const struct session_work *w)
{
	for (size_t i = 0; i < q->notes.n; i++)
		printf("%s\n", q->notes.v[i]);
	printf("%s %s: %zu of %zu trial%s to do\n", s->plan.name, s->plan.stamp, w->n, s->plan.n,
	       s->plan.n == 1 ? "" : "s");
	for (size_t i = 0; i < w->n; i++)
		printf("%s  %s\n", s->plan.trials[w->items[i].index].run_id,
		       w->items[i].agent_from ? "evaluate what the agent did" : "run");
}

static int execute(struct session *s, const struct request *q, const struct session_work *w,
		   const struct strv *notes)
{
	AUTO(strv) struct strv lines = STRV_INIT;
	struct display *d = run_view_open(&q->view);
	const struct listener listener = display_listener(d);
	struct sched_end end;
	struct err err;

	if (w->n != s->plan.n)
		strv_push(&lines, "the other trials have results");
	strv_pushv(&lines, strv_items(&q->notes));
	strv_pushv(&lines, strv_items(notes));
	if (w->n)
		run_view_announce(d, s, w, &lines);
	else
		display_say(d, "%s/%s: nothing is missing, all %zu trials have results",
			    s->store.root, s->ref.path, s->plan.n);
	/* With nothing to do it still brings the manifest up to date. */
	int status = session_run(s, &listener, w, &end, &err);
	if (!status) {
		if (w->n)
			display_end(d, w->n, end.missing);
		run_view_conclude(d, s, &end);
	}
	display_free(d);
	return status ? cmd_fail(&err) : run_view_status(&end);
}

static int go_on(struct session *s, const struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(free) struct sched_item *items = xcalloc(s->plan.n + 1, sizeof *items);
	struct session_work w = {
		.items = items,
		.n = make_items(q, s, items),
		.parallel = (int)q->parallel,
		.config = q->config.path,
		.no_preflight = q->no_preflight,
		.wall_ms = s->plan.budget.wall_ms,
	};
	/* The plan says who answers, today's files where that is. */
	const struct prepare_request request = {
		.trials = s->plan.trials,
		.n = s->plan.n,
		.agents = s->plan.agents,
		.items = items,
		.items_n = w.n,
		.judge = &s->plan.judge,
		.config_path = s->plan.config,
		.data_dir = s->store.root,
		.budget = &s->plan.budget,
		.replay = s->plan.replay,
		.replay_or_live = s->plan.replay_or_live,
	};
	struct prepared prepared;
	struct err err;
	int status;

	if (q->dry_run) {
		print_plan(s, q, &w);
		return CMD_OK;
	}
	if (prepare_models(&prepared, &request, &problems, &err)) {
		status = cmd_refuse(&problems, &err);
	} else {
		w.document = prepared.document;
		w.replay = prepared.replay;
		status = execute(s, q, &w, &prepared.notes);
	}
	prepared_release(&prepared);
	return status;
}

/* The trials that are there become those of the file's tasks as they are now. */
static int move(struct session *s, struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct regrade r;
	struct err err;
	size_t n = 0;
	int status = CMD_OK;

	if (regrade_load(&r, s, &q->config, &problems, &err))
		status = cmd_refuse(&problems, &err);
	else if (regrade_move(&r, s, q->dry_run, &n, &err))
		status = cmd_fail(&err);
	else if (n)
		strv_pushf(&q->notes,
			   "tasks that changed since: %zu trial%s that %s there will be graded "
			   "with them as "
			   "they are now",
			   n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
	s->moved = status == CMD_OK && n;
	regrade_release(&r);
	return status;
}

/* Trials of the file that the rollout does not have yet. */
static int extend(struct session *s, struct request *q)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct inputs in;
	struct err err;
	int status = CMD_OK;

	q->config.gateway = s->plan.gateway;
	if (q->regrade && (status = move(s, q)))
		return status;
	if (inputs_load(&in, &q->config, &s->plan, &problems, &err))
		status = cmd_refuse(&problems, &err);
	else if (inputs_check_name(&in, s->plan.name, &err) ||
		 session_extend(s, &in, q->dry_run, &err))
		status = cmd_fail(&err);
	else
		strv_pushv(&q->notes, strv_items(&in.plan.notes));
	inputs_release(&in);
	return status;
}

static int resume(const char *name, struct request *q)
{
	struct session s;
	struct err err;

	if (q->regrade && !q->config.path) {
		err_set(&err, ERR_USAGE, 0,
			"--regrade says nothing without --config FILE; to grade again with the "
			"tests that are there: rollouts eval %s",
			name);
		return cmd_fail(&err);
	}
	if (read_outcomes(q, &err) || session_open(&s, q->config.data_dir, name, q->selector, &err))
		return cmd_fail(&err);
	int status = q->config.path ? extend(&s, q) : CMD_OK;
	if (status == CMD_OK && check_rerun(q, &s, &err))
		status = cmd_fail(&err);
	if (status == CMD_OK)
		status = go_on(&s, q);
	session_close(&s);
	return status;
}

int cmd_resume(int argc, char **argv)
{
	struct request q = {0};
	bool latest = false;
	const struct option options[] = {
		OPTIONS_ROLLOUT(&latest, &q.selector),
		{.name = "retry",
		 .arg = "OUTCOME",
		 .kind = OPTION_STRV,
		 .target = &q.retry,
		 .help = "also run again what ended so: timeout, agent_error ...; repeatable"},
		{.name = "rerun",
		 .arg = "TASK|RUN",
		 .kind = OPTION_STRV,
		 .target = &q.rerun,
		 .help = "run again all trials of this task, or this run, however they ended; "
			 "repeatable, globs"},
		{.name = "config",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.config.path,
		 .help = "add the trials of this file that are not there yet"},
		{.name = "regrade",
		 .kind = OPTION_FLAG,
		 .target = &q.regrade,
		 .help = "with --config: grade with its tests as they are now, the trials that are "
			 "there too"},
		{.name = "parallel",
		 .short_name = 'j',
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.parallel,
		 .min = 1,
		 .max = 100000,
		 .help = "run N trials at a time (default: as at the start)"},
		{.name = "dry-run",
		 .kind = OPTION_FLAG,
		 .target = &q.dry_run,
		 .help = "print what would be done"},
		RUN_VIEW_OPTIONS(&q.view),
		OPTION_NO_PREFLIGHT(&q.no_preflight),
		OPTION_DATA_DIR(&q.config.data_dir),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "resume",
		.operands = "NAME",
		.min = 1,
		.max = 1,
		.summary = "finish what is missing of a benchmark that was interrupted",
		.text = "Each trial goes on at its first uncommitted phase: an agent whose work is "
			"kept is not\n"
			"run again. Trials that ended as infra_error or cancelled count as "
			"missing.",
		.options = options,
		.examples = "rollouts resume hello\n"
			    "rollouts resume hello --rollout 20250824__12-34-56 --retry timeout\n"
			    "rollouts resume hello --config hello.toml   # after adding models or "
			    "rollouts\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0 && latest && q.selector) {
		struct err err;
		err_set(&err, ERR_USAGE, 0, "--latest and --rollout exclude each other");
		status = cmd_fail(&err);
	} else if (status < 0) {
		AUTO(free) char *name = operand_name(operands.v[0]);
		AUTO(free) char *file = q.config.path ? operand_file(q.config.path) : NULL;
		q.config.path = file;
		status = resume(name, &q);
	}
	strv_release(&q.retry);
	strv_release(&q.rerun);
	strv_release(&q.notes);
	config_request_release(&q.config);
	return status;
}
