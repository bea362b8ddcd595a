/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cloud: what a launcher in the cloud needs, made, tried and reckoned by libexec/rollouts-cloud, which alone links what speaks to AWS.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/options.h"
#include "config/config.h"

static int become(const char *const *argv)
{
	struct err err;
	AUTO(free) char *program = install_libexec("rollouts-cloud");

	fflush(stdout);
	execv(program, (char *const *)argv);
	err_set(&err, ERR_INFRA, errno, "start %s", program);
	return cmd_fail(&err);
}

static int refuse(const char *word)
{
	struct err err;

	err_set(&err, ERR_USAGE, 0, "%s: unknown; rollouts cloud init|doctor|cost BENCH", word);
	return cmd_fail(&err);
}

static int cloud_bench(const char *word, int argc, char **argv)
{
	const char *data = "data";
	bool yes = false;
	const struct option options[] = {
		{.name = "yes",
		 .kind = OPTION_FLAG,
		 .target = &yes,
		 .help = "init: make it, having shown what; without it nothing is changed"},
		OPTION_DATA_DIR(&data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "cloud",
		.operands = "init|doctor|cost BENCH",
		.min = 1,
		.max = 1,
		.options = options,
		.summary = "what a benchmark needs of AWS Batch and S3: made, tried, reckoned",
		.text = "init shows the job definition, the log group, the rule by which objects "
			"expire and the\npolicies that roles need, and with --yes makes or "
			"updates the first three; nothing is removed.\ndoctor uses each of them. "
			"cost says from earlier rollouts what a run would come to.\n"
			"Settings are [launcher.batch] of BENCH: docs/aws-batch.md.",
		.examples = "rollouts cloud init bench.toml\nrollouts cloud init --yes bench.toml\n"
			    "rollouts cloud doctor bench.toml\nrollouts cloud cost bench.toml\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT, args = STRV_INIT;
	AUTO(json) json_t *launchers = NULL;
	AUTO(buf) struct buf settings = BUF_INIT;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	if (!*word)
		return refuse(operands.v[0]);
	AUTO(free) char *file = operand_file(operands.v[0]);
	AUTO(free) char *name = operand_name(file);
	const struct config_request config = {.path = file};
	if (config_launcher_settings(&launchers, &config, &err))
		return cmd_fail(&err);
	json_t *own = json_object_get(launchers, "batch");
	if (!own) {
		err_set(&err, ERR_USAGE, 0, "%s has no [launcher.batch]: see docs/aws-batch.md",
			file);
		return cmd_fail(&err);
	}
	json_format(&settings, own, false);
	strv_push(&args, "rollouts-cloud");
	strv_push(&args, word);
	strv_push(&args, settings.data);
	strv_push(&args, name);
	strv_push(&args, data);
	strv_push(&args, yes ? "yes" : "no");
	return become(strv_items(&args));
}

int cmd_cloud(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : "";
	AUTO(strv) struct strv args = STRV_INIT;

	if (!strcmp(word, "node")) { /* in the container of a job */
		strv_push(&args, "rollouts-cloud");
		strv_pushv(&args, (const char *const *)argv + 1);
		return become(strv_items(&args));
	}
	if (*word == '-' || !*word) /* help, say */
		return cloud_bench("", argc, argv);
	if (strcmp(word, "init") && strcmp(word, "doctor") && strcmp(word, "cost"))
		return refuse(word);
	return cloud_bench(word, argc - 1, argv + 1);
}
