/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/options.h"
#include "cmd/run-view.h"
#include "report/report.h"
#include "rollout/regrade.h"
#include "rollout/session.h"

struct request {
	struct config_request config; /* its path is --config, or NULL */
	const char *selector;
	struct run_view view;
	bool no_preflight;
	bool latest;
	int64_t parallel;
};

/* What became of each trial of the plan. */
struct grading {
	const struct sched_item *items;
	const struct regrade *regrade; /* NULL: as planned */
	bool *ok;		       /* by trial */
};

static void on_done(void *arg, size_t item, enum outcome outcome)
{
	struct grading *g = arg;

	g->ok[g->items[item].index] = !outcome_is_missing(outcome);
}

static size_t count_asked(const struct session *s, const struct regrade *r)
{
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++)
		n += regrade_asks(r, i);
	return n;
}

static size_t count_failed(const struct session *s, const struct grading *g)
{
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++)
		n += regrade_asks(g->regrade, i) && !g->ok[i];
	return n;
}

/* The journal must be closed by then: the rollout reads as complete. */
static int print_summary(const struct request *q, const char *name, const char *stamp,
			 struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct rollout_ref ref = {0};
	struct store store;
	struct rollout r;
	struct summary sum;

	if (q->view.json)
		return 0;
	if (store_open(&store, q->config.data_dir, false, err))
		return -1;
	int status =
		store_find(&store, name, stamp, &ref, err) || rollout_load(&r, &store, &ref, err)
			? -1
			: 0;
	if (!status) {
		summary_make(&sum, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
		report_summary(&text, &sum, &r,
			       &(struct report_form){.format = REPORT_TERMINAL,
						     .width = report_width(STDOUT_FILENO)});
		status = report_write_summary(&store, &sum, &r, err);
		summary_release(&sum);
		rollout_release(&r);
	}
	rollout_ref_release(&ref);
	store_close(&store);
	fwrite(text.data, 1, text.len, stdout);
	return status;
}

static int execute(struct session *s, const struct request *q, const struct regrade *r,
		   struct sched_end *end, struct err *err)
{
	size_t asked = count_asked(s, r);
	AUTO(free) struct sched_item *items = xcalloc(s->plan.n + 1, sizeof *items);
	AUTO(free) bool *ok = xcalloc(s->plan.n + 1, sizeof *ok);
	struct grading g = {items, r, ok};
	struct session_work w = {
		.items = items,
		.n = regrade_items(s, r, items),
		.parallel = (int)q->parallel,
		.config = q->config.path,
		.no_preflight = q->no_preflight,
		.on_done = on_done,
		.on_done_arg = &g,
	};
	struct display *d = run_view_open(&q->view);
	const struct listener listener = display_listener(d);
	AUTO(strv) struct strv notes = STRV_INIT;

	if (w.n < asked)
		strv_push(&notes,
			  "trials without an agent's work cannot be graded and are left out");
	if (r)
		strv_pushv(&notes, strv_items(&r->notes));
	run_view_announce(d, s, &w, &notes);
	int status = session_run(s, &listener, &w, end, err);
	if (!status) {
		end->missing = count_failed(s, &g);
		display_end(d, w.n, end->missing - (asked - w.n));
		run_view_stopped(d, end);
		status = regrade_write_manifest(s, r, ok, err);
	}
	display_free(d);
	return status;
}

/* An exit status, or -1 with *ERR. */
static int grade(struct session *s, const struct request *q, struct sched_end *end, struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct regrade r;

	if (!q->config.path)
		return execute(s, q, NULL, end, err) ? -1 : CMD_OK;
	int status = regrade_load(&r, s, &q->config, &problems, err);
	if (status && problems.n)
		status = cmd_refuse(&problems, err);
	else if (!status)
		status = regrade_commit(&r, s, err) || execute(s, q, &r, end, err) ? -1 : CMD_OK;
	regrade_release(&r);
	return status;
}

static int eval(const char *name, const struct request *q)
{
	struct session s;
	struct sched_end end;
	struct err err;

	if (q->latest && q->selector) {
		err_set(&err, ERR_USAGE, 0, "--latest and --rollout exclude each other");
		return cmd_fail(&err);
	}
	if (session_open(&s, q->config.data_dir, name, q->selector, &err))
		return cmd_fail(&err);
	AUTO(free) char *stamp = xstrdup(s.ref.stamp);
	int status = grade(&s, q, &end, &err);
	session_close(&s);
	if (status > 0)
		return status;
	if (status || print_summary(q, name, stamp, &err))
		return cmd_fail(&err);
	return run_view_status(&end);
}

int cmd_eval(int argc, char **argv)
{
	struct request q = {.config = {.data_dir = "data"}};
	const struct option options[] = {
		OPTIONS_ROLLOUT(&q.latest, &q.selector),
		{.name = "config",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.config.path,
		 .help = "with the tests and rubrics that this file's tasks have now"},
		{.name = "parallel",
		 .short_name = 'j',
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.parallel,
		 .min = 1,
		 .max = 100000,
		 .help = "grade N trials at a time (default: as at the start)"},
		RUN_VIEW_OPTIONS(&q.view),
		OPTION_NO_PREFLIGHT(&q.no_preflight),
		OPTION_DATA_DIR(&q.config.data_dir),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "eval",
		.operands = "NAME",
		.min = 1,
		.max = 1,
		.summary = "grade the stored diffs of a benchmark again, without running any agent",
		.text = "The tests are those the benchmark started with; --config FILE takes them, "
			"and "
			"the rubrics,\n"
			"as the tasks of FILE have them now. A grade that cannot be made leaves "
			"the one there was.\n"
			"eval_manifest.json in the rollout's folder lists what was graded; then "
			"the table of\n"
			"`summarize` follows.",
		.options = options,
		.examples = "rollouts eval hello --latest\n"
			    "rollouts eval hello --rollout 20250824__12-34-56 -j4\n"
			    "rollouts eval hello --config hello.toml   # after correcting a test\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	AUTO(free) char *name = operand_name(operands.v[0]);
	AUTO(free) char *file = q.config.path ? operand_file(q.config.path) : NULL;
	q.config.path = file;
	return eval(name, &q);
}
