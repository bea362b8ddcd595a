/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include "base/cleanup.h"
#include "cmd/bench-options.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "rollout/datasets.h"
#include "rollout/gateway-document.h"
#include "rollout/inputs.h"

/* What a run would come to, where tasks and agents are all there; as comments, so that it stays a benchmark. */
static void print_models(const struct config_request *req)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(strv) struct strv lines = STRV_INIT;
	struct inputs in;
	struct err ignored;

	if (!inputs_load(&in, req, NULL, &problems, &ignored))
		model_lines(&lines, in.plan.trials, in.plan.n, in.agents);
	for (size_t i = 0; i < lines.n; i++)
		printf("%s# %s\n", i ? "" : "\n", lines.v[i]);
	inputs_release(&in);
}

static int print(struct config_request *req)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err;
	req->datasets = datasets_find;
	if (config_explain(&text, req, &problems, &err) < 0)
		return cmd_refuse(&problems, &err);
	fwrite(text.data, 1, text.len, stdout);
	print_models(req);
	return CMD_OK;
}

int cmd_config(int argc, char **argv)
{
	struct config_request req = {0};
	const struct option options[] = {BENCH_OPTIONS(&req), OPTION_END};
	const struct usage usage = {
		.verb = "config",
		.operands = "CONFIG",
		.min = 1,
		.max = 1,
		.summary = "Print the effective configuration, each value with where it comes from",
		.text = "The output is itself a benchmark file. The strongest place wins: a flag, "
			"[[tasks]],\n"
			"[defaults], the top of the file, SANDBOX_BACKEND (for sandbox alone), the "
			"default.\n"
			"Which provider answers each model is told at the end.",
		.examples = "rollouts config bench.toml\n"
			    "rollouts config bench.toml --model gpt-4 --timeout 600\n",
		.options = options,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);
	if (status < 0) {
		AUTO(free) char *file = operand_file(operands.v[0]);
		req.path = file;
		status = print(&req);
	}
	config_request_release(&req);
	return status;
}
