/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "rollout/import.h"

static void tell(const struct import_request *q, const struct imported *m)
{
	AUTO(buf) struct buf line = BUF_INIT, safe = BUF_INIT;

	if (m->known)
		buf_addf(&line, "%s is here already: %s %s", q->path, m->ref.name, m->ref.stamp);
	else
		buf_addf(&line,
			 "%s: %zu trial%s of %zu task%s taken in as %s %s: %zu scored, %zu "
			 "unscored, %zu without a result",
			 q->path, m->trials, m->trials == 1 ? "" : "s", m->tasks,
			 m->tasks == 1 ? "" : "s", m->ref.name, m->ref.stamp, m->scored,
			 m->unscored, m->missing);
	text_renders(&safe, line.data, TEXT_TERMINAL_LINE);
	puts(safe.data);
}

static int import(const struct import_request *q, struct err *err)
{
	AUTO(strv) struct strv notes = STRV_INIT;
	struct imported m;

	if (import_harbor(&m, q, &notes, err))
		return -1;
	tell(q, &m);
	for (size_t i = 0; i < notes.n; i++)
		cmd_warn(notes.v[i]);
	if (!m.known)
		cmd_write_summary(q->data_dir, m.ref.name, m.ref.stamp);
	rollout_ref_release(&m.ref);
	return 0;
}

int cmd_import(int argc, char **argv)
{
	struct import_request q = {.data_dir = "data"};
	const struct option options[] = {
		{.name = "name",
		 .arg = "NAME",
		 .kind = OPTION_STR,
		 .target = &q.name,
		 .help = "of its benchmark here; else its data set's, or the job's own"},
		{.name = "score",
		 .arg = "KEY",
		 .kind = OPTION_STR,
		 .target = &q.reward,
		 .help = "which of several rewards is the score; else \"reward\", or their mean"},
		OPTION_DATA_DIR(&q.data_dir),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "import",
		.operands = "JOB...",
		.min = 1,
		.max = 1000,
		.options = options,
		.summary = "take in what Harbor ran, as rollouts",
		.text = "JOB is the folder of a Harbor job (jobs/NAME). Its trials, with rewards, "
			"errors, costs,\n"
			"tokens, times and logs, become a rollout that summarize, compare, show "
			"and "
			"all other\n"
			"readers take beside those that ran here. What Harbor does not count is "
			"missing, with its\n"
			"reason. The folder stays as it is, and one that is here already is left "
			"out.",
		.examples = "rollouts import jobs/2026-11-30__12-00-00\n"
			    "rollouts import jobs/old --name terminal-bench --score correctness\n",
	};
	AUTO(strv) struct strv jobs = STRV_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &jobs);

	if (status >= 0)
		return status;
	for (size_t i = 0; i < jobs.n; i++) {
		q.path = jobs.v[i];
		if (import(&q, &err))
			return cmd_fail(&err);
	}
	return CMD_OK;
}
