/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "rollout/merge.h"

struct told {
	const struct merge_request *q;
	struct strv touched; /* "NAME", "STAMP" of the rollouts that changed, one after the other */
};

static void touch(struct told *t, const struct merge_step *step)
{
	for (size_t i = 0; i < t->touched.n; i += 2)
		if (!strcmp(t->touched.v[i], step->name) &&
		    !strcmp(t->touched.v[i + 1], step->stamp))
			return;
	strv_push(&t->touched, step->name);
	strv_push(&t->touched, step->stamp);
}

static void tell(void *arg, const struct merge_step *step)
{
	static const char *const words[][2] = {
		[MERGE_KNOWN] = {"is here already:", "is here already:"},
		[MERGE_TAKEN] = {"taken in as", "would be taken in as"},
		[MERGE_JOINED] = {"joined to", "would be joined to"},
		[MERGE_GREW] = {"had gone on; taken over into",
				"has gone on; would be taken over into"},
	};
	struct told *t = arg;
	AUTO(buf) struct buf line = BUF_INIT, safe = BUF_INIT;

	buf_addf(&line, "%s (%zu trial%s) %s %s %s", step->from, step->trials,
		 step->trials == 1 ? "" : "s", words[step->kind][t->q->dry_run], step->name,
		 step->stamp);
	if (step->why)
		buf_addf(&line, "; not joined to another, since %s", step->why);
	text_renders(&safe, line.data, TEXT_TERMINAL_LINE);
	puts(safe.data);
	if (step->kind != MERGE_KNOWN && !t->q->dry_run)
		touch(t, step);
}

int cmd_merge(int argc, char **argv)
{
	struct merge_request q = {.data_dir = "data"};
	const struct option options[] = {
		{.name = "apart",
		 .kind = OPTION_FLAG,
		 .target = &q.apart,
		 .help = "join nothing: each rollout stays one of its own"},
		{.name = "dry-run",
		 .short_name = 'n',
		 .kind = OPTION_FLAG,
		 .target = &q.dry_run,
		 .help = "only say what would be done"},
		OPTION_DATA_DIR(&q.data_dir),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "merge",
		.operands = "FOLDER...",
		.min = 1,
		.max = 1000,
		.options = options,
		.summary = "take in the rollouts of other data folders",
		.text = "Parts of one benchmark, run on several machines from one benchmark file, "
			"become one\n"
			"rollout. The folders stay as they are. What is here already is left out, "
			"so that a\n"
			"merge may be repeated.",
		.examples = "rollouts merge shard-1 shard-2 shard-3\n"
			    "rollouts merge --dry-run /mnt/ci/data --data-dir data\n",
	};
	AUTO(strv) struct strv folders = STRV_INIT;
	struct told told = {.q = &q, .touched = STRV_INIT};
	struct err err;
	int status = cmd_options(&usage, argc, argv, &folders);

	if (status >= 0)
		return status;
	q.folders = strv_items(&folders);
	status = merge_rollouts(&q, tell, &told, &err);
	for (size_t i = 0; i < told.touched.n; i += 2)
		cmd_write_summary(q.data_dir, told.touched.v[i], told.touched.v[i + 1]);
	strv_release(&told.touched);
	return status ? cmd_fail(&err) : CMD_OK;
}
