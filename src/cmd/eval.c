/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/eval-changes.h"
#include "cmd/eval-predictions.h"
#include "cmd/operands.h"
#include "cmd/options.h"
#include "cmd/run-view.h"
#include "core/datadir.h"
#include "rollout/evaluation.h"
#include "rollout/judge.h"
#include "rollout/prepare.h"
#include "rollout/ratings.h"
#include "rollout/session.h"

struct request {
	struct config_request config; /* its path is --config, or NULL */
	const char *selector;
	const char *judge, *ratings, *predictions;
	bool judge_only, tests_only, no_judge;
	struct strv only;
	struct run_view view;
	bool no_preflight;
	bool latest;
	int64_t parallel;
};

/* What became of each trial of the plan. */
struct grading {
	const struct sched_item *items;
	bool *ok; /* by trial */
};

static void on_done(void *arg, size_t item, enum outcome outcome)
{
	struct grading *g = arg;

	g->ok[g->items[item].index] = !outcome_is_missing(outcome);
}

static size_t count_ok(const struct session *s, const bool *ok)
{
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++)
		n += ok[i];
	return n;
}

/* Whoever is named here, else by --config's file, else who judges by the plan. */
static int choose_judge(struct session *s, const struct request *q, struct regrade *r,
			struct strv *problems, struct err *err)
{
	const char *config = q->config.path ? q->config.path : s->plan.config;
	const bool file = r && r->in.bench.judge.model && r->in.bench.judge.enabled != JUDGE_OFF;
	struct judge j = judge_default;

	if (q->tests_only || q->no_judge)
		return session_judge(s, &j, err);
	if (!q->judge && !file)
		return 0;
	j = file ? r->in.bench.judge : s->plan.judge;
	/* What is not of the other's: those strings go on being owned there. */
	j.effort = xstrdup(j.effort);
	j.model = xstrdup(q->judge ? q->judge : j.model);
	j.provider = j.model_id = j.api = NULL;
	j.enabled = JUDGE_ON;
	AUTO(providers) struct providers p = {0};
	int rc = providers_load(&p, config, problems, err) || judge_settle(&j, &p, err) ||
		 session_judge(s, &j, err);
	judge_release(&j);
	return rc ? -1 : 0;
}

static int conclude(struct session *s, const struct request *q, struct evaluation_run *e,
		    bool complete, struct buf *changes, struct err *err)
{
	AUTO(json) json_t *after = NULL;

	if (evaluation_end(e, s, complete, &after, err))
		return -1;
	if (q->view.json)
		return 0;
	eval_changes(changes, e->before, after);
	buf_addf(changes,
		 "this is evaluation %d of the rollout; earlier ones are kept in "
		 "%s/%s/" ROLLOUT_EVALUATIONS "\n",
		 e->number, s->store.root, s->ref.path);
	return 0;
}

/* Grade W's items, of ASKED trials that were meant. */
static int execute(struct session *s, const struct request *q, const struct regrade *r,
		   struct session_work *w, size_t asked, struct evaluation_run *e, bool *ok,
		   const struct strv *notes, struct sched_end *end, struct err *err)
{
	struct grading g = {w->items, ok};
	const size_t without = asked - w->n - e->done;
	AUTO(strv) struct strv lines = STRV_INIT;
	struct display *d = run_view_open(&q->view);
	const struct listener listener = display_listener(d);

	w->on_done = on_done;
	w->on_done_arg = &g;
	if (without)
		strv_push(&lines,
			  "trials without an agent's work cannot be graded and are left out");
	if (evaluation_without(s))
		strv_pushf(&lines,
			   "%zu trial%s of Harbor tasks keep their rewards: a container cannot be "
			   "graded again",
			   evaluation_without(s), evaluation_without(s) == 1 ? "" : "s");
	if (e->done)
		strv_pushf(&lines, "going on with evaluation %d: %zu of %zu are graded", e->number,
			   e->done, e->done + w->n);
	strv_pushv(&lines, strv_items(notes));
	if (r)
		strv_pushv(&lines, strv_items(&r->notes));
	run_view_announce(d, s, w, &lines);
	int status = session_run(s, &listener, w, end, err);
	if (!status) {
		end->missing = asked - count_ok(s, ok);
		display_end(d, w->n, end->missing - without);
		run_view_stopped(d, end);
		status = regrade_write_manifest(s, r, ok, err);
	}
	display_free(d);
	return status;
}

static bool any_judged(const struct sched_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!items[i].keep_judge)
			return true;
	return false;
}

/* From what is asked to what has changed. An exit status, or -1 with *ERR. */
static int evaluate(struct session *s, const struct request *q, const struct regrade *r,
		    const struct evaluation_asked *a, struct strv *problems, struct buf *changes,
		    struct sched_end *end, struct err *err)
{
	AUTO(free) struct sched_item *items = xcalloc(s->plan.n + 1, sizeof *items);
	AUTO(free) bool *ok = xcalloc(s->plan.n + 1, sizeof *ok);
	struct session_work w = {
		.items = items, .parallel = (int)q->parallel, .config = q->config.path};
	struct evaluation_run e = {0};
	struct prepared prepared = {.notes = STRV_INIT};
	size_t asked;

	if (evaluation_items(items, &w.n, &asked, s, a, err))
		return -1;
	const struct prepare_request request = {
		.trials = s->plan.trials,
		.n = s->plan.n,
		.agents = s->plan.agents,
		.items = items,
		.items_n = w.n,
		.judge = any_judged(items, w.n) ? &s->plan.judge : NULL,
		.config_path = q->config.path ? q->config.path : s->plan.config,
		.data_dir = s->store.root,
	};
	w.no_preflight = q->no_preflight || (w.n && items[0].keep_tests);
	int status = prepare_models(&prepared, &request, problems, err);
	w.document = prepared.document;
	status = status || evaluation_begin(&e, s, a, items, &w.n, ok, err) ||
		 execute(s, q, r, &w, asked, &e, ok, &prepared.notes, end, err) ||
		 conclude(s, q, &e, !end->missing, changes, err);
	evaluation_run_release(&e);
	prepared_release(&prepared);
	return status ? -1 : 0;
}

static int grade(struct session *s, const struct request *q, struct buf *changes,
		 struct sched_end *end, struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(json) json_t *ratings = NULL;
	struct regrade file = {.notes = STRV_INIT}, *r = q->config.path ? &file : NULL;
	struct evaluation_asked a = {.only = &q->only,
				     .judge_only = q->judge_only,
				     .tests_only = q->tests_only,
				     .config = q->config.path,
				     .regrade = r};

	int status = (q->ratings && ratings_read(&ratings, q->ratings, s, &problems, err)) ||
		     (r && (regrade_load(r, s, &q->config, &problems, err) ||
			    regrade_commit(r, s, err))) ||
		     choose_judge(s, q, r, &problems, err);
	a.ratings = ratings;
	if (!status && q->judge_only && !s->plan.judge.provider)
		status = err_set(err, ERR_USAGE, 0,
				 "nobody judges this rollout: give --judge MODEL");
	status = status || evaluate(s, q, r, &a, &problems, changes, end, err);
	regrade_release(&file);
	return !status ? CMD_OK : problems.n ? cmd_refuse(&problems, err) : -1;
}

static int check_request(const struct request *q, struct err *err)
{
	const char *both = q->latest && q->selector	    ? "--latest and --rollout"
			   : q->judge_only && q->tests_only ? "--judge-only and --tests-only"
			   : q->judge && q->no_judge	    ? "--judge and --no-judge"
			   : q->judge && q->tests_only	    ? "--judge and --tests-only"
			   : q->judge_only && q->no_judge   ? "--judge-only and --no-judge"
							    : NULL;

	if (q->predictions && (q->latest || q->selector || q->judge_only || q->tests_only ||
			       q->judge || q->ratings || q->only.n))
		return err_set(
			err, ERR_USAGE, 0,
			"--predictions makes a rollout of its own: it goes with --no-judge, -j, "
			"--no-preflight, -v and --json alone");
	return both ? err_set(err, ERR_USAGE, 0, "%s exclude each other", both) : 0;
}

static int eval(const char *name, const struct request *q)
{
	struct session s;
	struct sched_end end;
	struct err err;

	AUTO(buf) struct buf changes = BUF_INIT, summary = BUF_INIT;
	if (check_request(q, &err) || session_open(&s, q->config.data_dir, name, q->selector, &err))
		return cmd_fail(&err);
	AUTO(free) char *stamp = xstrdup(s.ref.stamp);
	int status = grade(&s, q, &changes, &end, &err);
	session_close(&s);
	if (status > 0)
		return status;
	if (status ||
	    (!q->view.json && cmd_make_summary(&summary, q->config.data_dir, name, stamp, &err)))
		return cmd_fail(&err);
	fwrite(summary.data, 1, summary.len, stdout);
	fwrite(changes.data, 1, changes.len, stdout);
	return run_view_status(&end);
}

/* Patches from elsewhere; OPERAND is the benchmark's file, or its name. */
static int predictions(const char *operand, struct request *q)
{
	AUTO(free) char *file = q->config.path ? NULL : operand_file(operand);
	const struct predictions_request request = {.config = &q->config,
						    .path = q->predictions,
						    .view = &q->view,
						    .parallel = (int)q->parallel,
						    .no_preflight = q->no_preflight};
	struct err err;

	if (check_request(q, &err))
		return cmd_fail(&err);
	if (file)
		q->config.path = file;
	q->config.no_judge = q->no_judge;
	int status = eval_predictions(&request);
	if (file)
		q->config.path = NULL;
	return status;
}

static const char help_text[] =
	"The tests are those the benchmark started with; --config FILE takes them, "
	"and "
	"the rubrics,\n"
	"as the tasks of FILE have them now. A grade that cannot be made leaves "
	"the one there was.\n"
	"Ratings alone leave tests and judge as they are. What was cut short goes "
	"on "
	"when the same\n"
	"is asked again. Earlier evaluations stay in evaluations/N of the "
	"rollout's "
	"folder; after the\n"
	"table of `summarize` comes what changed.";

static const char help_examples[] =
	"rollouts eval hello --latest\n"
	"rollouts eval hello --rollout 20250824__12-34-56 -j4\n"
	"rollouts eval hello --config hello.toml   # after correcting a test\n"
	"rollouts eval hello --judge-only --judge claude-sonnet-5\n"
	"rollouts eval hello --ratings ratings.csv\n"
	"rollouts eval hello.toml --predictions preds.jsonl\n";

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
		{.name = "only",
		 .arg = "GLOB",
		 .kind = OPTION_STRV,
		 .target = &q.only,
		 .help = "only trials whose task, folder or run id matches; repeatable"},
		{.name = "judge-only",
		 .kind = OPTION_FLAG,
		 .target = &q.judge_only,
		 .help = "judge again, and keep what the tests said"},
		{.name = "tests-only",
		 .kind = OPTION_FLAG,
		 .target = &q.tests_only,
		 .help = "run the tests again, and keep what the judge said"},
		{.name = "judge",
		 .arg = "MODEL",
		 .kind = OPTION_STR,
		 .target = &q.judge,
		 .help = "judge with this model"},
		{.name = "no-judge",
		 .kind = OPTION_FLAG,
		 .target = &q.no_judge,
		 .help = "judge no rubric"},
		{.name = "ratings",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.ratings,
		 .help = "take in what people say: run_id, rubric_id, score; JSON lines or CSV"},
		{.name = "predictions",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.predictions,
		 .help = "grade these patches (SWE-bench's predictions) as trials of an agent "
			 "import"},
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
		.text = help_text,
		.options = options,
		.examples = help_examples,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0) {
		AUTO(free) char *name = operand_name(operands.v[0]);
		AUTO(free) char *file = q.config.path ? operand_file(q.config.path) : NULL;
		q.config.path = file;
		status = q.predictions ? predictions(operands.v[0], &q) : eval(name, &q);
	}
	strv_release(&q.only);
	return status;
}
