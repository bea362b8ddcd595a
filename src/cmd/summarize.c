/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "report/report.h"
#include "store/store.h"

struct request {
	const char *data, *selector;
	bool latest, json, csv, markdown, trials;
};

static int check(const struct request *q, struct err *err)
{
	if (q->latest && q->selector)
		return err_set(err, ERR_USAGE, 0, "--latest and --rollout exclude each other");
	if (q->json + q->csv + q->markdown > 1)
		return err_set(err, ERR_USAGE, 0,
			       "--json, --csv and --markdown exclude each other");
	return 0;
}

static enum report_format format_of(const struct request *q)
{
	if (q->json)
		return REPORT_JSON;
	if (q->csv)
		return REPORT_CSV;
	return q->markdown ? REPORT_MARKDOWN : REPORT_TERMINAL;
}

static int summarize(const struct store *s, const char *name, const struct request *q,
		     struct err *err)
{
	struct rollout_ref ref = {0};
	struct rollout r;
	struct summary sum;
	struct err unwritten;
	AUTO(buf) struct buf text = BUF_INIT;

	if (store_find(s, name, q->selector, &ref, err))
		return -1;
	int status = rollout_load(&r, s, &ref, err);
	rollout_ref_release(&ref);
	if (status)
		return -1;
	summary_make(&sum, (const struct rollout *[]){&r}, 1, SUMMARY_LEVEL);
	report_summary(&text, &sum, &r,
		       &(struct report_form){format_of(q), report_width(STDOUT_FILENO), q->trials});
	/* Reading the runs of somebody else is no mistake. */
	if (report_write_summary(s, &sum, &r, &unwritten))
		cmd_warn(unwritten.msg);
	summary_release(&sum);
	rollout_release(&r);
	if (fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout))
		return err_set(err, ERR_INFRA, 0, "cannot write to standard output");
	return 0;
}

int cmd_summarize(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		OPTIONS_ROLLOUT(&q.latest, &q.selector),
		{.name = "trials",
		 .kind = OPTION_FLAG,
		 .target = &q.trials,
		 .help = "list each trial, however many there are (up to 40 always are)"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &q.json,
		 .help = "everything as one JSON object"},
		{.name = "csv",
		 .kind = OPTION_FLAG,
		 .target = &q.csv,
		 .help = "one line per trial as CSV"},
		{.name = "markdown",
		 .kind = OPTION_FLAG,
		 .target = &q.markdown,
		 .help = "what summary.md holds"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "summarize",
		.operands = "NAME",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "show the scores of a benchmark, with what is missing and why",
		.text = "Means are over task means with a 95 % interval; a trial that failed for "
			"reasons of its\n"
			"environment is missing, never a zero. The same is written to summary.md.",
		.examples = "rollouts summarize hello --latest\n"
			    "rollouts summarize hello --rollout 20250824__12-34-56\n"
			    "rollouts summarize hello --rollout baseline --csv > trials.csv\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct store store;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (check(&q, &err) || store_open(&store, q.data, false, &err))
		return cmd_fail(&err);
	status = summarize(&store, operands.v[0], &q, &err);
	store_close(&store);
	return status ? cmd_fail(&err) : CMD_OK;
}
