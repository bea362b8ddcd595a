/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "rollout/convert.h"

static void print(const char *prefix, const struct strv *lines)
{
	for (size_t i = 0; i < lines->n; i++) {
		AUTO(buf) struct buf safe = BUF_INIT;
		text_renders(&safe, lines->v[i], TEXT_TERMINAL_LINE);
		printf("%s%s\n", prefix, safe.data);
	}
}

int cmd_convert(int argc, char **argv)
{
	struct convert_request q = {.data_dir = "data"};
	const struct option options[] = {
		{.name = "image",
		 .arg = "NAME",
		 .kind = OPTION_STR,
		 .target = &q.image,
		 .help = "what a prepared task that names no image is to run in: it has git, bash "
			 "and awk"},
		{.name = "lossy",
		 .kind = OPTION_FLAG,
		 .target = &q.lossy,
		 .help = "also where something is lost, which is said in any case"},
		OPTION_DATA_DIR(&q.data_dir),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "convert",
		.operands = "TASK FOLDER",
		.min = 2,
		.max = 2,
		.options = options,
		.summary = "write a prepared task as a Harbor task, or such a one back",
		.text = "FOLDER is made. A Harbor task that was converted becomes again the "
			"prepared task "
			"that it was\n"
			"made of; any other cannot, and runs here as it is.",
		.examples = "rollouts convert tasks/csv-quotes harbor/csv-quotes\n"
			    "rollouts convert tasks/hello harbor/hello --image debian:bookworm\n"
			    "rollouts convert harbor/csv-quotes back/csv-quotes\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT, lost = STRV_INIT, notes = STRV_INIT;
	bool harbor = false;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	q.task = operands.v[0];
	q.to = operands.v[1];
	status = convert_task(&harbor, &q, &lost, &notes, &err);
	print("lost: ", &lost);
	if (status)
		return cmd_fail(&err);
	print("differs: ", &notes);
	printf("%s %s written\n", harbor ? "the Harbor task" : "the prepared task", q.to);
	return CMD_OK;
}
