/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/gate.h"
#include "cmd/options.h"
#include "cmd/rollout-operand.h"
#include "report/report.h"
#include "store/store.h"

struct request {
	const char *data, *selector, *question, *cluster, *by, *sort, *tasks, *csv;
	bool latest, json, markdown, trials, all, failed, ids;
	int64_t limit, max_bytes;
	struct summary_options options;
	struct summary_selection selection;
	struct gate gate;
};

static int check(struct request *q, struct err *err)
{
	if (q->latest + !!q->selector + q->all > 1)
		return err_set(err, ERR_USAGE, 0,
			       "--latest, --rollout and --all exclude each other");
	if (q->json + !!q->csv + q->markdown + q->ids > 1)
		return err_set(err, ERR_USAGE, 0,
			       "--json, --csv, --markdown and --ids exclude each other");
	if (csv_check(q->csv, err) ||
	    summary_selection_parse(&q->selection, q->sort, q->tasks, err) ||
	    gate_parse(&q->gate, err))
		return -1;
	if (q->max_bytes && !q->markdown)
		return err_set(err, ERR_USAGE, 0, "--max-bytes goes with --markdown");
	q->selection.failed = q->failed;
	q->selection.limit = (size_t)q->limit;
	q->options = SUMMARY_DEFAULT;
	q->options.cluster = q->cluster;
	if (q->by && summary_by_parse(&q->options, q->by, err))
		return -1;
	return summary_question_parse(q->question, &q->options.question, err) ||
			       clusters_check(q->cluster, err)
		       ? -1
		       : 0;
}

static enum report_format format_of(const struct request *q)
{
	if (q->json)
		return REPORT_JSON;
	if (q->csv)
		return csv_is_sheet(q->csv) ? REPORT_SHEET : REPORT_CSV;
	return q->markdown ? REPORT_MARKDOWN : REPORT_TERMINAL;
}

static bool is_usual(const struct request *q)
{
	const struct summary_selection *s = &q->selection;

	return !q->options.by_n && !q->options.cluster &&
	       q->options.question == SUMMARY_TASKS_LIKE_THESE && !s->sort && !s->which &&
	       !s->failed && !s->limit;
}

/* SUM is the usual one. */
static void write_summary(const struct rollout *r, const struct summary *sum)
{
	struct store store;
	struct err err;

	if (r->parts_n || store_open(&store, r->root, false, &err))
		return;
	/* Reading the runs of somebody else is no mistake. */
	if (report_write_summary(&store, sum, r, &err))
		cmd_warn(err.msg);
	store_close(&store);
}

/* summary.md says what everybody is told who asks for nothing in particular. */
static void write_usual(const struct rollout *r)
{
	AUTO(summary) struct summary usual;

	summary_make(&usual, (const struct rollout *[]){r}, 1, &SUMMARY_DEFAULT);
	write_summary(r, &usual);
}

/* The tasks that are shown, each once, for --only. */
static void put_ids(struct buf *out, const struct summary *s)
{
	AUTO(free) bool *told = xcalloc(s->tasks_n + 1, sizeof *told);

	for (size_t i = 0; i < s->shown_n; i++) {
		const struct summary_cell *cell = &s->cells[s->shown[i]];
		if (told[cell->task])
			continue;
		told[cell->task] = true;
		text_renders(out, s->rows[cell->first].status->shared->task_id, TEXT_TERMINAL_LINE);
		buf_addc(out, '\n');
	}
}

static int load(struct rollout *r, const char *operand, const struct request *q, struct err *err)
{
	const struct rollout_operand_how how = {
		.data_dir = q->data, .all = q->all, .measured = q->json || q->csv};

	if (q->selector)
		return rollout_operand_select(r, &how, operand, q->selector, err);
	return rollout_operand_load(r, &how, operand, err);
}

static int print(const struct buf *text, struct err *err)
{
	if (fwrite(text->data, 1, text->len, stdout) != text->len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

static int show(const struct rollout *r, struct request *q, struct err *err)
{
	AUTO(summary) struct summary sum = {0};
	AUTO(buf) struct buf text = BUF_INIT;

	if (gate_check(&q->gate, r, &q->options, err))
		return -1;
	if (!is_usual(q))
		write_usual(r);
	summary_make(&sum, (const struct rollout *[]){r}, 1, &q->options);
	summary_select(&sum, &q->selection);
	if (q->ids)
		put_ids(&text, &sum);
	else
		report_summary(&text, &sum, r,
			       &(struct report_form){format_of(q), report_width(STDOUT_FILENO),
						     q->trials, (size_t)q->max_bytes});
	if (q->max_bytes && text.len > (size_t)q->max_bytes)
		return err_set(err, ERR_USAGE, 0, "--max-bytes: the shortest summary takes %zu",
			       text.len);
	if (is_usual(q))
		write_summary(r, &sum);
	return print(&text, err) || gate_tell(&q->gate, r, &sum, err) ? -1 : 0;
}

static int summarize(const char *operand, struct request *q, struct err *err)
{
	struct rollout r;

	if (load(&r, operand, q, err))
		return -1;
	int status = show(&r, q, err);
	rollout_release(&r);
	return status;
}

static const char help_text[] =
	"A ROLLOUT is NAME (its latest), NAME@STAMP, NAME@TAG, a config file in "
	"place of "
	"NAME, or\n"
	"the rollout's folder. NAME@STAMP,STAMP and --all read several as one: "
	"trials of one task\n"
	"are pooled while the task is the same, and kept apart where it "
	"changed.\n\n"
	"Means are over task means with a 95 % interval; a trial that failed for "
	"reasons of its\n"
	"environment is missing, never a zero. The same is written to summary.md.";

static const char help_examples[] =
	"rollouts summarize hello --latest\n"
	"rollouts summarize hello --rollout 20250824__12-34-56\n"
	"rollouts summarize hello --rollout baseline --csv > trials.csv\n"
	"rollouts summarize hello --by model,tag\n"
	"rollouts summarize hello --all --question these-tasks\n"
	"rollouts summarize hello --tasks unsolved --ids\n"
	"rollouts summarize hello --fail-under 0.8 --fail-under tag:hard=0.5\n";

static int gated(const char *operand, struct request *q)
{
	struct err err;
	int status = check(q, &err) || summarize(operand, q, &err) ? cmd_fail(&err)
								   : gate_status(&q->gate);
	gate_release(&q->gate);
	return status;
}

int cmd_summarize(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		OPTIONS_ROLLOUT(&q.latest, &q.selector),
		{.name = "trials",
		 .kind = OPTION_FLAG,
		 .target = &q.trials,
		 .help = "list each trial, however many there are (on a terminal, up to 40 always "
			 "are)"},
		{.name = "json", .kind = OPTION_FLAG, .target = &q.json, .help = "as JSON"},
		OPTION_CSV(&q.csv, "one line per trial as CSV"),
		{.name = "markdown",
		 .kind = OPTION_FLAG,
		 .target = &q.markdown,
		 .help = "as summary.md"},
		{.name = "max-bytes",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.max_bytes,
		 .min = 1,
		 .max = 1000000000,
		 .help = "of Markdown: rows of tasks that tell least are left out; it says so"},
		{.name = "by",
		 .arg = "WHAT",
		 .kind = OPTION_STR,
		 .target = &q.by,
		 .help = "means for each model, label, task, tag, agent, served, or several: a,b"},
		{.name = "sort",
		 .arg = "HOW",
		 .kind = OPTION_STR,
		 .target = &q.sort,
		 .help = "tasks by mean (lowest first), spread, time, cost, tokens (most first), "
			 "name"},
		{.name = "tasks",
		 .arg = "WHICH",
		 .kind = OPTION_STR,
		 .target = &q.tasks,
		 .help = "only those unsolved, flaky (sometimes), solved (always), or that differ"},
		{.name = "failed",
		 .kind = OPTION_FLAG,
		 .target = &q.failed,
		 .help = "only trials that failed, and tasks with such a one"},
		{.name = "limit",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.limit,
		 .min = 1,
		 .max = 1000000000,
		 .help = "at most this many lines of tasks"},
		{.name = "ids",
		 .kind = OPTION_FLAG,
		 .target = &q.ids,
		 .help = "only the ids of these tasks, one a line, for --only"},
		OPTION_QUESTION(&q.question),
		OPTION_CLUSTER(&q.cluster),
		{.name = "all",
		 .kind = OPTION_FLAG,
		 .target = &q.all,
		 .help = "all rollouts of the benchmark, read as one"},
		OPTIONS_GATE(&q.gate),
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "summarize",
		.operands = "ROLLOUT",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "show the scores of a benchmark, with what is missing and why",
		.text = help_text,
		.examples = help_examples,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	return gated(operands.v[0], &q);
}
