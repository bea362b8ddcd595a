/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/export-work.h"
#include "cmd/options.h"
#include "cmd/rollout-operand.h"
#include "report/export.h"

struct request {
	const char *data, *format, *output;
	struct export_work work; /* what is asked of the agents' work */
	bool all;
};

/* What agents did, rather than how it was scored. */
static const struct {
	const char *format;
	int (*write)(const struct export_work *w, struct err *err);
} of_work[] = {{"predictions", export_predictions},
	       {"leaderboard", export_leaderboard},
	       {"messages", export_messages},
	       {"atif", export_atif},
	       {"harbor", export_harbor}};

static int export_work(const struct request *q, size_t kind, const char *operand, struct err *err)
{
	struct export_work w = q->work;
	struct store store;
	struct rollout r;
	struct summary s;

	if (store_open(&store, q->data, false, err))
		return -1;
	int status = rollout_operand_load(
		&r, &(struct rollout_operand_how){.data_dir = q->data, .all = q->all}, operand,
		err);
	if (!status) {
		summary_make(&s, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
		w.output = q->output;
		w.root_fd = store.root_fd;
		w.rollout = &r;
		w.summary = &s;
		status = of_work[kind].write(&w, err);
		summary_release(&s);
		rollout_release(&r);
	}
	store_close(&store);
	return status;
}

static int check(const struct request *q, struct err *err)
{
	const char *format = q->format ? q->format : "";
	bool messages = !strcmp(format, "messages");
	bool patches = !strcmp(format, "predictions") || !strcmp(format, "leaderboard");

	if (q->work.pick && !patches)
		return err_set(err, ERR_USAGE, 0,
			       "--pick goes with --format predictions and leaderboard");
	if ((q->work.min_score || q->work.outcomes.n) && !messages)
		return err_set(err, ERR_USAGE, 0,
			       "--min-score and --outcome go with --format messages");
	return 0;
}

static int export_rollout(const struct request *q, const char *operand, struct err *err)
{
	enum export_format format = EXPORT_JSONL;
	AUTO(buf) struct buf text = BUF_INIT;
	struct rollout r;
	struct summary s;

	for (size_t i = 0; q->format && i < ARRAY_SIZE(of_work); i++)
		if (!strcmp(q->format, of_work[i].format))
			return export_work(q, i, operand, err);
	if (export_format_parse(q->format, &format, err) ||
	    rollout_operand_load(&r,
				 &(struct rollout_operand_how){.data_dir = q->data, .all = q->all},
				 operand, err))
		return -1;
	summary_make(&s, (const struct rollout *[]){&r}, 1, &SUMMARY_DEFAULT);
	export_trials(&text, &s, &r, format);
	summary_release(&s);
	rollout_release(&r);
	if (q->output)
		return path_write(AT_FDCWD, q->output, text.data, text.len, 0644, false, err);
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

int cmd_export(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "format",
		 .arg = "F",
		 .kind = OPTION_STR,
		 .target = &q.format,
		 .help = "csv, jsonl, parquet-jsonl (each column of one plain type), junit; "
			 "predictions, leaderboard, messages; atif, harbor"},
		{.name = "output",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.output,
		 .help = "write it there and not to standard output"},
		{.name = "pick",
		 .arg = "first",
		 .kind = OPTION_STR,
		 .target = &q.work.pick,
		 .help = "predictions: of the rollouts of a task the first that there is; never "
			 "the best"},
		{.name = "min-score",
		 .arg = "S",
		 .kind = OPTION_STR,
		 .target = &q.work.min_score,
		 .help = "messages: only of trials with such a score"},
		{.name = "outcome",
		 .arg = "O",
		 .kind = OPTION_STRV,
		 .target = &q.work.outcomes,
		 .help = "messages: only of trials that ended so; repeatable"},
		{.name = "all",
		 .kind = OPTION_FLAG,
		 .target = &q.all,
		 .help = "all rollouts of the benchmark"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "export",
		.operands = "ROLLOUT [DIR]",
		.min = 1,
		.max = 2,
		.options = options,
		.summary = "one row per trial for other programs, with columns that stay",
		.text = "Nothing is rounded, and what is not known is empty or null. In JUnit a "
			"trial "
			"fails without\n"
			"a full score; what has no result is an error or skipped. predictions and "
			"leaderboard are\n"
			"patches as SWE-bench reads them, a file for each model and rollout; "
			"messages is every\n"
			"conversation with a model, atif the same as trajectories (ATIF 1.7). "
			"harbor is the folder DIR\n"
			"of a job, as Harbor's readers and its viewer take it.",
		.examples = "rollouts export hello --format csv --output trials.csv\n"
			    "rollouts export hello@baseline --format jsonl | jq .score\n"
			    "rollouts export hello --format junit --output results.xml\n"
			    "rollouts export hello --format predictions --output preds\n"
			    "rollouts export hello --format messages --min-score 1\n"
			    "rollouts export hello --format harbor jobs/hello\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (operands.n > 1 && (q.output || !q.format || strcmp(q.format, "harbor") != 0)) {
		err_set(&err, ERR_USAGE, 0, "a folder DIR goes with --format harbor alone");
		return cmd_fail(&err);
	}
	if (operands.n > 1)
		q.output = operands.v[1];
	status = check(&q, &err) || export_rollout(&q, operands.v[0], &err) ? cmd_fail(&err)
									    : CMD_OK;
	strv_release(&q.work.outcomes);
	return status;
}
