/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/bench-options.h"
#include "cmd/cmd.h"
#include "cmd/operands.h"
#include "cmd/validate-run.h"
#include "rollout/inputs.h"
#include "rollout/remotes.h"
#include "rollout/versions.h"

static void print_notes(const struct strv *notes, const char *place)
{
	for (size_t i = 0; i < notes->n; i++) {
		AUTO(buf) struct buf line = BUF_INIT;
		text_renders(&line, notes->v[i], TEXT_TERMINAL_LINE);
		printf("%s: note: %s\n", place, line.data);
	}
}

static void print_hollow(const struct task *t, const char *dir)
{
	for (size_t i = 0; i < t->hollow.n; i++)
		printf("%s: note: %s\n", dir, t->hollow.v[i]);
}

/* What pytest would find nothing in, as far as words tell. */
static void print_testless(const struct task *t, const char *dir)
{
	AUTO(strv) struct strv notes = STRV_INIT;

	for (size_t i = 0; i < t->steps_n; i++)
		for (size_t k = 0; k < t->steps[i].tests_n; k++) {
			const struct task_test *test = &t->steps[i].tests[k];
			if (!test->command && test->content && text_ends_with(test->path, ".py") &&
			    !strcasestr(test->content, "test") && !strstr(test->content, "import"))
				strv_pushf(&notes,
					   "%s holds nothing that pytest takes for a test, a "
					   "function test_... or a class Test...: it will not pass",
					   test->path);
		}
	print_notes(&notes, dir);
}

/* Where it runs in a container, its image says what programs there are. */
static void print_versions(const struct task *t, const char *dir)
{
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(strv) struct strv notes = STRV_INIT;
	if (t->docker_image || t->has_dockerfile)
		return;
	versions_used(&names, t);
	versions_note(&notes, &names, NULL);
	print_notes(&notes, dir);
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
	print_notes(&t->notes, dir);
	print_hollow(t, dir);
	print_testless(t, dir);
	print_versions(t, dir);
	printf("%s: fine: task %s, %zu rubric%s, %zu test%s%s\n", dir, id.data, rubrics,
	       rubrics == 1 ? "" : "s", tests, tests == 1 ? "" : "s",
	       t->has_gold ? ", a gold diff" : "");
}

/* As far as that is seen without an engine: what its Dockerfile copies is there. */
static int check_image(const struct task *t, const struct task_source *source,
		       struct strv *problems, struct err *err)
{
	struct task_context *context = NULL;

	if (!task_wants_image(t))
		return 0;
	int status = task_context_read(&context, t, source, problems, err);
	task_context_free(context);
	if (!status && problems->n)
		status = err_set(err, ERR_USAGE, 0, "%s", problems->v[0]);
	return status;
}

static int validate_task(const char *dir)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	const struct task_source source = {.dir = dir, .apply_overrides = true};
	struct task task = {0};
	struct err err;
	int status = CMD_OK;
	if (task_read(&task, &source, &problems, &err) == 0 &&
	    check_image(&task, &source, &problems, &err) == 0 &&
	    inputs_check_start(&task, &source, &problems, &err) == 0) {
		print_task(&task, dir);
	} else {
		AUTO(strv) struct strv lines = STRV_INIT;
		inputs_task_lines(&source, &problems, &lines);
		status = cmd_refuse(&lines, &err);
	}
	task_release(&task);
	return status;
}

/* Each remote repository answers, and lets us in. */
static int ask_remotes(const struct inputs *in, const char *config_path, struct strv *problems)
{
	AUTO(strv) struct strv notes = STRV_INIT, hollow = STRV_INIT;
	AUTO(free) struct remotes_task *tasks = xcalloc(in->tasks_n + 1, sizeof *tasks);
	struct err err;

	for (size_t i = 0; i < in->tasks_n; i++) {
		const struct task_repo *r = &in->tasks[i].task.repo;
		tasks[i] = (struct remotes_task){.git_url = r->git_url,
						 .branch = r->start_commit ? NULL : r->branch,
						 .start = r->start_commit,
						 .dir = in->tasks[i].source.dir,
						 .id = in->tasks[i].task.id,
						 .repo = r};
	}
	remotes_login(tasks, in->tasks_n, config_path);
	remotes_ask(tasks, in->tasks_n, problems, &notes, &hollow);
	print_notes(&hollow, config_path);
	if (problems->n + notes.n == 0)
		return CMD_OK;
	bool users_fault = problems->n;
	strv_pushv(problems, strv_items(&notes));
	(void)err_set(&err, users_fault ? ERR_USAGE : ERR_INFRA, 0,
		      "repositories cannot be fetched");
	return cmd_refuse(problems, &err);
}

static int validate_config(const struct config_request *req, bool online)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	struct inputs in;
	struct err err;
	int status = CMD_OK;
	if (inputs_load(&in, req, NULL, &problems, &err) == 0 && online &&
	    (status = ask_remotes(&in, req->path, &problems))) {
		inputs_release(&in);
		return status;
	}
	if (!problems.n) {
		print_notes(&in.plan.notes, req->path);
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

struct request {
	struct config_request config;
	struct grade_check_request check;
	bool run, json, online;
	int64_t times;
};

static int validate(struct request *q, const struct option *options, const struct strv *operands)
{
	const char *first = operands->v[0];
	struct err err;

	q->check.times = q->times ? (int)q->times : 3;
	if (q->run)
		return cmd_validate_run(&q->config, operands, &q->check, q->json);
	if (q->json || q->times || q->check.right || q->check.wrong || q->check.no_probes ||
	    operands->n > 1) {
		(void)err_set(&err, ERR_USAGE, 0, "%s: only with --run",
			      operands->n > 1  ? operands->v[1]
			      : q->json	       ? "--json"
			      : q->times       ? "--times"
			      : q->check.right ? "--correct"
			      : q->check.wrong ? "--defective"
					       : "--no-probes");
		return cmd_fail(&err);
	}
	if (path_is_dir(AT_FDCWD, first)) {
		const struct option *given = options_given(options);
		return given ? refuse_option(given, first) : validate_task(first);
	}
	AUTO(free) char *file = operand_file(first);
	q->config.path = file;
	int status = validate_config(&q->config, q->online);
	q->config.path = NULL;
	return status;
}

int cmd_validate(int argc, char **argv)
{
	struct request q = {0};
	const struct option options[] = {
		{.name = "online",
		 .kind = OPTION_FLAG,
		 .target = &q.online,
		 .help = "also ask each remote repository whether it can be fetched"},
		{.name = "run",
		 .kind = OPTION_FLAG,
		 .target = &q.run,
		 .help = "grade the tests themselves: run them and see what they say"},
		{.name = "times",
		 .arg = "N",
		 .kind = OPTION_INT,
		 .target = &q.times,
		 .min = 1,
		 .max = 1000,
		 .help = "with --run: run solution and nothing N times (default 3)"},
		{.name = "correct",
		 .arg = "DIR",
		 .kind = OPTION_STR,
		 .target = &q.check.right,
		 .help = "with --run: patches in DIR, or DIR/TASK, that must score 1"},
		{.name = "defective",
		 .arg = "DIR",
		 .kind = OPTION_STR,
		 .target = &q.check.wrong,
		 .help = "with --run: patches that must score less"},
		{.name = "no-probes",
		 .kind = OPTION_FLAG,
		 .target = &q.check.no_probes,
		 .help = "with --run: do not try to fool the tests"},
		{.name = "json",
		 .kind = OPTION_FLAG,
		 .target = &q.json,
		 .help = "with --run: print a JSON document"},
		BENCH_OPTIONS(&q.config),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "validate",
		.operands = "CONFIG|TASK...",
		.min = 1,
		.max = INT_MAX,
		.summary = "Check a benchmark file with its tasks and agents, or one task folder",
		.text = "Every mistake is one line with its place. Nothing is written or started. "
			"Of a task\n"
			"folder, which takes no options, it also says what in it has no use here.\n"
			"\n"
			"With --run the tests of task folders, or of a benchmark's tasks, are run: "
			"on "
			"the task's\n"
			"own solution, which must score 1, on nothing, which must not, N times "
			"each, and "
			"on work\n"
			"that would fool careless tests. Flaky tests, tests that pass before any "
			"work, "
			"tests that\n"
			"ask for a network, a solution that agents could find: exit status 1 with "
			"any "
			"finding.",
		.examples = "rollouts validate bench.toml\n"
			    "rollouts validate data/tasks/prepared/task_1\n"
			    "rollouts validate --run data/tasks/prepared/* -j4\n"
			    "rollouts validate --run task_1 --correct right/ --defective wrong/\n",
		.options = options,
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status < 0)
		status = validate(&q, options, &operands);
	config_request_release(&q.config);
	return status;
}
