/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/bench-options.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "rollout/inputs.h"

static void print_notes(const struct task *t, const char *dir)
{
	for (size_t i = 0; i < t->notes.n; i++) {
		AUTO(buf) struct buf line = BUF_INIT;
		text_renders(&line, t->notes.v[i], TEXT_TERMINAL_LINE);
		printf("%s: note: %s\n", dir, line.data);
	}
}

static void print_hollow(const struct task *t, const char *dir)
{
	for (size_t i = 0; i < t->hollow.n; i++)
		printf("%s: note: %s\n", dir, t->hollow.v[i]);
}

static void print_task(const struct task *t, const char *dir)
{
	AUTO(buf) struct buf id = BUF_INIT;
	size_t rubrics = 0, tests = 0;
	for (size_t i = 0; i < t->steps_n; i++) {
		rubrics += t->steps[i].rubrics_n;
		tests += t->steps[i].tests_n;
	}
	text_renders(&id, t->id, TEXT_TERMINAL_LINE);
	print_notes(t, dir);
	print_hollow(t, dir);
	printf("%s: fine: task %s, %zu rubric%s, %zu test%s%s\n", dir, id.data, rubrics,
	       rubrics == 1 ? "" : "s", tests, tests == 1 ? "" : "s",
	       t->has_gold ? ", a gold diff" : "");
}

static int validate_task(const char *dir)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	const struct task_source source = {.dir = dir, .apply_overrides = true};
	struct task task = {0};
	struct err err;
	int status = CMD_OK;
	if (task_read(&task, &source, &problems, &err) == 0) {
		print_task(&task, dir);
	} else {
		AUTO(strv) struct strv lines = STRV_INIT;
		inputs_task_lines(&source, &problems, &lines);
		status = cmd_refuse(&lines, &err);
	}
	task_release(&task);
	return status;
}

static void print_plan_notes(const struct inputs *in, const char *path)
{
	for (size_t i = 0; i < in->plan.notes.n; i++) {
		AUTO(buf) struct buf line = BUF_INIT;
		text_renders(&line, in->plan.notes.v[i], TEXT_TERMINAL_LINE);
		printf("%s: note: %s\n", path, line.data);
	}
}

static int validate_config(const struct config_request *req)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct inputs in;
	struct err err;
	int status = CMD_OK;
	if (inputs_load(&in, req, NULL, &problems, &err) == 0) {
		print_plan_notes(&in, req->path);
		printf("%s: fine: %zu task%s, %zu trial%s\n", req->path, in.tasks_n,
		       in.tasks_n == 1 ? "" : "s", in.plan.n, in.plan.n == 1 ? "" : "s");
	} else {
		status = cmd_refuse(&problems, &err);
	}
	inputs_release(&in);
	return status;
}

/* The options are a benchmark's; of one task they would silently mean nothing. */
static int refuse_option(const struct option *given, const char *dir)
{
	struct err err;
	(void)err_set(
		&err, ERR_USAGE, 0,
		"--%s has no meaning for a task folder: leave it out, or give a benchmark file "
		"instead of %s",
		given->name, dir);
	return cmd_fail(&err);
}

int cmd_validate(int argc, char **argv)
{
	struct config_request req = {0};
	const struct option options[] = {BENCH_OPTIONS(&req), OPTION_END};
	const struct usage usage = {
		.verb = "validate",
		.operands = "CONFIG|TASK",
		.min = 1,
		.max = 1,
		.summary = "Check a benchmark file with its tasks and agents, or one task folder",
		.text = "Every mistake is one line with its place. Nothing is written or started. "
			"Of a task\n"
			"folder, which takes no options, it also says what in it has no use here.",
		.examples = "rollouts validate bench.toml\n"
			    "rollouts validate data/tasks/prepared/task_1\n",
		.options = options,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);
	if (status < 0 && path_is_dir(AT_FDCWD, operands.v[0])) {
		const struct option *given = options_given(options);
		status = given ? refuse_option(given, operands.v[0]) : validate_task(operands.v[0]);
	} else if (status < 0) {
		AUTO(free) char *file = operand_file(operands.v[0]);
		req.path = file;
		status = validate_config(&req);
	}
	config_request_release(&req);
	return status;
}
