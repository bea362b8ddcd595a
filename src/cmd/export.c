/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "cmd/rollout-operand.h"
#include "report/export.h"

struct request {
	const char *data, *format, *output;
	bool all;
};

static int export_rollout(const struct request *q, const char *operand, struct err *err)
{
	enum export_format format = EXPORT_JSONL;
	AUTO(buf) struct buf text = BUF_INIT;
	struct rollout r;
	struct summary s;

	if (export_format_parse(q->format, &format, err) ||
	    rollout_operand_load(&r, q->data, operand, q->all, err))
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
		 .help = "csv, jsonl, parquet-jsonl (each column of one plain type), junit"},
		{.name = "output",
		 .arg = "FILE",
		 .kind = OPTION_STR,
		 .target = &q.output,
		 .help = "write it there and not to standard output"},
		{.name = "all",
		 .kind = OPTION_FLAG,
		 .target = &q.all,
		 .help = "all rollouts of the benchmark"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "export",
		.operands = "ROLLOUT",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "one row per trial for other programs, with columns that stay",
		.text = "Nothing is rounded, and what is not known is empty or null. In JUnit a "
			"trial "
			"fails without\n"
			"a full score; what has no result is an error or skipped.",
		.examples = "rollouts export hello --format csv --output trials.csv\n"
			    "rollouts export hello@baseline --format jsonl | jq .score\n"
			    "rollouts export hello --format junit --output results.xml\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	return export_rollout(&q, operands.v[0], &err) ? cmd_fail(&err) : CMD_OK;
}
