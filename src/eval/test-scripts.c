/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/test-scripts.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/env-path.h"
#include "eval/eval-files.h"
#include "eval/tamper.h"
#include "eval/test-network.h"
#include "os/pressure.h"

#define PYTEST_REPORT "junit.xml"

#define UNDER_LOAD 0.25 /* CPU pressure from which a late test may be the machine's fault */

enum { PROBE_MS = 60000 };

struct runner {
	const char *name, *suffix;
	const char *const argv[6]; /* the script's path is added; for "command" the command */
	const char *package;	   /* what brings argv[0] */
};

enum { PYTEST, BASH };
static const struct runner runners[] = {
	[PYTEST] = {"pytest", ".py", {"python3", "-m", "pytest", "-q"}, "python3-pytest"},
	[BASH] = {"bash", ".sh", {"bash", "--"}, "bash"},
};
static const struct runner runner_command = {.name = "command", .argv = {"sh", "-c"}};
static const struct runner runner_file = {.name = "file"};

static const struct runner *find_runner(const struct task_test *t)
{
	if (t->command)
		return &runner_command;
	for (size_t i = 0; i < ARRAY_SIZE(runners); i++)
		if (text_ends_with(t->path, runners[i].suffix))
			return &runners[i];
	return &runner_file;
}

const char *test_runner_name(const struct task_test *t)
{
	return find_runner(t)->name;
}

struct test_run {
	const struct eval_job *job;
	struct sandbox *s;
	struct capped_log *log;
	struct metrics *metrics; /* of all of them */
	json_t *writers;	 /* name of a metric -> path of the test that wrote it */
	struct strv *conflicts, *suspect;
	struct strv touched; /* files that the diff changes */
	bool skips;	     /* as tamper_skips of it */
	struct test_usage *usage;
	struct test_outcome *now; /* the test that runs */
	bool has_pytest;	  /* it was found to be there */
	bool ran;		  /* a test, and with it the agent's code */
	int64_t end_ms;		  /* of all tests together, clock_mono_ms; 0: none */
};

static void auto_capped_log(struct capped_log **log)
{
	struct err ignored;

	if (capped_log_close(*log, &ignored))
		return;
}

static void on_output(void *arg, int stream, const char *data, size_t n)
{
	struct test_run *run = arg;

	excerpt_add(stream == 1 ? &run->now->out : &run->now->err, data, n);
	if (run->job->on_output)
		run->job->on_output(run->job->on_output_arg, stream, data, n);
}

static char *in_results(const struct test_run *run, const char *name)
{
	return path_join(run->job->task->layout.results, name);
}

/* A file that belongs to test NUMBER. */
static char *result_file(const struct test_run *run, size_t number, const char *name)
{
	return xasprintf("%s/%zu/%s", run->job->task->layout.results, number, name);
}

/* The task's own variables only: a grade must not depend on how the agent was run. */
static void make_env(struct strv *env, const struct test_run *run, const struct task_test *t,
		     size_t number)
{
	const struct task *task = run->job->task;

	sandbox_env(run->s, env);
	for (size_t i = 0; i < task->env.n; i++)
		if (!kv_is_secret(task->env.v[i].key) && strcmp(task->env.v[i].key, "HOME") != 0)
			env_path_set(env, task->env.v[i].key, task->env.v[i].value);
	env_path_first(env, json_object_get(run->job->attempt->tools, "path"));
	strv_setenv(env, "ROLLOUTS_TASK_ID", task->id ? task->id : "");
	strv_setenv(env, "ROLLOUTS_TEST", t->path);
	AUTO(free) char *diff = in_results(run, "diff.patch");
	AUTO(free) char *results = result_file(run, number, "results.json");
	AUTO(free) char *metrics = result_file(run, number, "metrics.json");
	strv_setenv(env, "ROLLOUTS_DIFF", diff);
	strv_setenv(env, "ROLLOUTS_RESULTS", results);
	strv_setenv(env, "ROLLOUTS_METRICS", metrics);
}

static int put_script(struct test_run *run, const struct task_test *t, struct err *err)
{
	AUTO(free) char *box = path_join(run->job->task->layout.repo, t->path);

	if (sandbox_put(run->s, box, t->content ? t->content : "", t->content_len, 0755, err))
		return err_wrap(err, "test %s", t->path);
	return 0;
}

/* An earlier test ran the code under test: what that left where this one writes is no result. */
static int clear_results(struct test_run *run, const struct task_test *t, size_t number,
			 struct err *err)
{
	static const char *const names[] = {PYTEST_REPORT, "results.json", "metrics.json"};

	for (size_t i = 0; run->ran && i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *box = result_file(run, number, names[i]);
		struct err none = {0};
		AUTO(fd) int fd = sandbox_get(run->s, box, &none);
		if (fd < 0)
			continue;
		tamper_tell(run->suspect, t->path, "its results were there before it ran");
		if (sandbox_put(run->s, box, "", 0, 0644, err))
			return -1;
	}
	return 0;
}

/* The directory in which a test finds its result files: a mark makes it. */
static int put_result_dir(struct test_run *run, const struct task_test *t, size_t number,
			  struct err *err)
{
	AUTO(free) char *box = result_file(run, number, "test");

	return sandbox_put(run->s, box, t->path, strlen(t->path), 0644, err);
}

static int put_diff(struct test_run *run, struct err *err)
{
	AUTO(buf) struct buf diff = BUF_INIT;
	struct err why = {0};

	const int64_t max = run->job->attempt->trial.limits.diff_mb << 20;

	if (path_read(run->job->run_fd, ATTEMPT_DIFF, (size_t)max + 1, &diff, &why) &&
	    why.sys != ENOENT) {
		*err = why;
		return -1;
	}
	tamper_paths(&run->touched, diff.data ? diff.data : "", diff.len);
	run->skips = tamper_skips(diff.data ? diff.data : "", diff.len);
	AUTO(free) char *box = in_results(run, "diff.patch");
	return sandbox_put(run->s, box, diff.data, diff.len, 0644, err);
}

static int run_probe(struct test_run *run, const char *const *argv, const char *const *env,
		     bool *works, struct err *err)
{
	const struct sandbox_exec x = {
		.argv = argv,
		.env = env,
		.cwd = "/",
		.user = run->job->task->layout.test_user,
		.deadline_ms = clock_mono_ms() + PROBE_MS,
		.at_end = SANDBOX_KILL_ALL,
	};
	struct sandbox_exit end;

	if (sandbox_exec(run->s, &x, &end, err))
		return -1;
	/* Only a clear no counts: whatever else ends a probe may be the work of the code under
	 * test. */
	*works = !(end.end == SANDBOX_NOT_FOUND ||
		   (end.end == SANDBOX_EXITED && WIFEXITED(end.status) &&
		    WEXITSTATUS(end.status) != 0));
	return 0;
}

/* The program that a `command` or an "env" line of a script names: a plain word, or NULL. */
static char *program_of(const struct task_test *t)
{
	const char *env_line = "#!/usr/bin/env ";
	size_t n = strlen(env_line);
	const char *word = t->command;

	if (find_runner(t) == &runner_file && t->content_len > n &&
	    memcmp(t->content, env_line, n) == 0)
		word = t->content + n;
	n = word ? strcspn(word, " \t\r\n") : 0;
	if (!n ||
	    strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") < n)
		return NULL;
	return xstrndup(word, n);
}

/* What is said before the name of a package. */
static const char *how_to_install(const struct test_run *run)
{
	return run->job->attempt->trial.sandbox == SANDBOX_DOCKER
		       ? "in the task's image (its Dockerfile), apt install "
		       : "apt install ";
}

static bool uses_pytest(const struct task_test *t)
{
	return t->command ? strstr(t->command, "-m pytest") != NULL
			  : find_runner(t) == &runners[PYTEST];
}

static int missing_tool(const struct test_run *run, const struct task_test *t, const char *tool,
			const char *package, struct err *err)
{
	return err_set(err, ERR_INFRA, 0, "test %s needs %s, which the sandbox does not have: %s%s",
		       t->path, tool, how_to_install(run), package);
}

static int check_pytest(struct test_run *run, const struct task_test *t, const char *const *env,
			struct err *err)
{
	/* -I: not a pytest that lies in the agent's repository. */
	static const char *const probe[] = {"python3", "-I", "-c", "import pytest", NULL};

	if (!run->has_pytest && run_probe(run, probe, env, &run->has_pytest, err))
		return -1;
	return run->has_pytest ? 0 : missing_tool(run, t, "pytest", runners[PYTEST].package, err);
}

/* After a failure: was it that the tool is not there? Asked in a clean place, since the code under
 * test could otherwise pretend it. */
static int check_tool(struct test_run *run, const struct task_test *t, int exit_code,
		      const char *const *env, struct err *err)
{
	AUTO(free) char *program = exit_code == 127 ? program_of(t) : NULL;
	const char *const look[] = {"sh", "-c", "command -v \"$1\"", "sh", program, NULL};
	bool works = true;

	if (exit_code == 1 && uses_pytest(t))
		return check_pytest(run, t, env, err);
	if (program && run_probe(run, look, env, &works, err))
		return -1;
	return works ? 0 : missing_tool(run, t, program, program, err);
}

/* A script that cannot even be started: our machine's fault, unless its interpreter is the agent's.
 */
static int cannot_start(const struct test_run *run, const struct task_test *t,
			const struct runner *r, const char *why, struct err *err)
{
	AUTO(free) char *agents = xasprintf("#!%s/", run->job->task->layout.app);
	int first = 0; /* bytes of the first line, as far as it is shown */

	while (first < 80 && (size_t)first < t->content_len && t->content[first] != '\n')
		first++;

	if (r->package)
		return err_set(err, ERR_INFRA, 0,
			       "test %s needs %s, which the sandbox does not have (%s): %s%s",
			       t->path, r->argv[0], why, how_to_install(run), r->package);
	if (t->content_len && strncmp(t->content, agents, strlen(agents)) == 0) {
		test_broke(run->now);
		snprintf(run->now->reason, sizeof run->now->reason, "cannot be executed: %s", why);
		return 0;
	}
	return err_set(
		err, ERR_INFRA, 0,
		"test %s cannot be executed (%s; it begins with \"%.*s\"): give it a #! line "
		"whose program exists here, or a \"command\"",
		t->path, why, first, t->content_len ? t->content : "");
}

/* Whether a test that was skipped in FILE was skipped by code of the agent's: there itself, or by an exception that
 * pytest took from it. */
static bool is_work(const struct test_run *run, const struct task_test *t, const char *file)
{
	const char *repo = run->job->task->layout.repo;
	size_t n = strlen(repo);
	const char *inside = !strncmp(file, repo, n) && file[n] == '/' ? file + n + 1 : NULL;

	if (inside)
		return strcmp(inside, t->path) != 0 && strv_has(&run->touched, inside);
	return run->touched.n && text_ends_with(file, "/_pytest/unittest.py");
}

/* A skip inside of a TestCase is told as if the test's own file had it, and an expected failure without a place: they are
 * the work's where only that speaks of such. */
static bool work_skips(const struct test_run *run, const struct task_test *t)
{
	const struct junit *j = &run->now->report;
	const char *text = t->content ? t->content : "";
	const bool xfails = strcasestr(text, "xfail") || strcasestr(text, "expectedFailure");

	return run->skips &&
	       ((j->xfailed && !xfails) || (j->skipped > j->xfailed && !strcasestr(text, "skip")));
}

/* The report that pytest left: all of it, or nothing. */
static void read_report(struct test_run *run, const struct task_test *t, size_t number)
{
	AUTO(free) char *box = result_file(run, number, PYTEST_REPORT);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored = {0};
	AUTO(fd) int fd = sandbox_get(run->s, box, &ignored);
	bool whole = fd >= 0 && !path_read_fd(fd, JUNIT_BYTES, &text, &ignored);

	test_reported(run->now, whole ? text.data : NULL, text.len);
	for (size_t i = 0; run->now->verdict == TEST_PASSED && i < run->now->report.skipped_in.n;
	     i++)
		if (is_work(run, t, run->now->report.skipped_in.v[i]))
			test_skipped_by_work(run->now);
	if (run->now->verdict == TEST_PASSED && work_skips(run, t))
		test_skipped_by_work(run->now);
}

static void tell_limit(const struct test_run *run, const struct sandbox_exit *end,
		       int64_t timeout_ms)
{
	const struct limits *l = &run->job->attempt->trial.limits;
	struct test_outcome *o = run->now;
	bool together = run->end_ms && clock_mono_ms() >= run->end_ms;

	test_broke(o);
	o->under_load = end->end == SANDBOX_TIMED_OUT &&
			(o->cpu_pressure > UNDER_LOAD || o->cpu_steal > UNDER_LOAD);
	if (end->end == SANDBOX_TIMED_OUT && together)
		snprintf(o->reason, sizeof o->reason, "timed out: the tests may take %g s together",
			 (double)l->eval_total_ms / 1000);
	else if (end->end == SANDBOX_TIMED_OUT)
		snprintf(o->reason, sizeof o->reason, "timed out after %g s",
			 (double)timeout_ms / 1000);
	else if (end->end == SANDBOX_NO_MEMORY)
		snprintf(o->reason, sizeof o->reason, "used more than %lld MB of memory",
			 (long long)l->memory_mb);
	else
		snprintf(o->reason, sizeof o->reason, "%s", end->text);
}

static void log_line(struct test_run *run, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void log_line(struct test_run *run, const char *fmt, ...)
{
	AUTO(buf) struct buf line = BUF_INIT;
	struct err ignored;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	text_renders(&line, text, TEXT_TERMINAL_LINE);
	buf_addc(&line, '\n');
	if (capped_log_add(run->log, line.data, line.len, &ignored))
		return;
}

static void log_verdict(struct test_run *run, const struct test_outcome *o)
{
	log_line(run, "=== %s in %.2f s%s%s ===", test_verdict_name(o->verdict),
		 (double)o->wall_ms / 1000, *o->reason ? ": " : "", o->reason);
}

static void read_file(struct test_run *run, const char *name, size_t number, struct buf *out)
{
	AUTO(free) char *file = xasprintf("%s.json", name);
	AUTO(free) char *box = result_file(run, number, file);
	struct err why = {0};
	AUTO(fd) int fd = sandbox_get(run->s, box, &why);

	if (fd >= 0 && path_read_fd(fd, EVAL_FILE_BYTES, out, &why)) {
		buf_reset(out);
		AUTO(buf) struct buf line = BUF_INIT;
		buf_addf(&line, "%s: %s", name,
			 why.kind == ERR_LIMIT ? "too large" : "cannot be read");
		strv_push(&run->now->problems, line.data);
	}
}

/* Which of two scripts means the metric that both have written, nobody can say: neither. */
static void refuse_twice(struct test_run *run, const char *name, const char *first,
			 const char *second)
{
	AUTO(buf) struct buf line = BUF_INIT;

	buf_adds(&line, "metrics: \"");
	text_renders(&line, name, TEXT_TERMINAL_LINE);
	buf_addf(&line, "\" is written by %s and by %s, so it counts for neither: rename one",
		 first, second);
	strv_push(&run->now->problems, line.data);
	strv_push(run->conflicts, line.data);
	metrics_remove(run->metrics, name);
}

/* The numbers that one test WROTE become the trial's. */
static void merge_metrics(struct test_run *run, const struct task_test *t,
			  const struct metrics *wrote)
{
	for (size_t i = 0; i < wrote->n; i++) {
		const struct metric *m = &wrote->v[i];
		const char *writer = json_get_str(run->writers, m->name, t->path);

		if (strcmp(writer, t->path) != 0) {
			refuse_twice(run, m->name, writer, t->path);
			continue;
		}
		json_put_str(run->writers, m->name, t->path);
		if (metrics_find(run->metrics, m->name))
			metrics_remove(run->metrics,
				       m->name); /* the same script for another rubric */
		if (run->metrics->n < METRICS_MAX)
			metrics_add(run->metrics, m->name, m->value, m->self_reported);
	}
}

/* What the test wrote, after its own end: what it was writing when it was stopped is no result. */
static void read_files(struct test_run *run, const struct task_test *t, size_t number)
{
	AUTO(buf) struct buf results = BUF_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct metrics wrote = {0};
	struct test_outcome *o = run->now;

	/* Of a script with partial credit 1 is as good an end as 0. */
	o->clean |= t->partial_credit && o->exit_code == 1;
	read_file(run, "results", number, &results);
	read_file(run, "metrics", number, &text);
	if (results.len)
		o->details = eval_take_details(results.data, results.len, &o->problems);
	if (text.len && o->clean)
		eval_take_metrics(&wrote, text.data, text.len, run->job->has_work, &o->problems);
	else if (text.len)
		strv_push(&o->problems, "metrics: not read, since the test did not end well");
	test_give_credit(o, t->partial_credit, &wrote);
	merge_metrics(run, t, &wrote);
	metrics_release(&wrote);
}

/* clock_mono_ms; 0: none. */
static int64_t test_deadline(const struct test_run *run, int64_t timeout_ms)
{
	int64_t own_ms = timeout_ms ? clock_mono_ms() + timeout_ms : run->end_ms;

	return run->end_ms && run->end_ms < own_ms ? run->end_ms : own_ms;
}

static void make_argv(struct strv *argv, const struct test_run *run, const struct task_test *t,
		      size_t number)
{
	const struct runner *r = find_runner(t);
	AUTO(free) char *report = result_file(run, number, PYTEST_REPORT);

	strv_pushv(argv, r->argv);
	if (r == &runners[PYTEST]) {
		strv_pushf(argv, "--junitxml=%s", report);
		strv_push(argv, "--");
	}
	if (t->command)
		strv_push(argv, t->command);
	else if (r->argv[0])
		strv_push(argv, t->path);
	else
		strv_pushf(argv, "%s/%s", run->job->task->layout.repo, t->path);
}

static int exec_test(struct test_run *run, const struct task_test *t, const struct runner *r,
		     size_t number, const char *const *env, struct err *err)
{
	const struct limits *l = &run->job->attempt->trial.limits;
	const char *repo = run->job->task->layout.repo;
	int64_t timeout_ms = t->timeout_ms ? t->timeout_ms : l->eval_timeout_ms;
	AUTO(strv) struct strv argv = STRV_INIT;
	struct sandbox_exit end;
	struct test_outcome *o = run->now;

	if (run->job->attempt->preflight && (!timeout_ms || timeout_ms > PREFLIGHT_TEST_MS))
		timeout_ms = PREFLIGHT_TEST_MS;

	make_argv(&argv, run, t, number);
	struct sandbox_exec x = {
		.argv = strv_items(&argv),
		.env = env,
		.cwd = repo,
		.user = run->job->task->layout.test_user,
		.out = run->log,
		.err = run->log,
		.on_output = on_output,
		.on_output_arg = run,
		.deadline_ms = test_deadline(run, timeout_ms),
		.at_end = SANDBOX_KILL_ALL,
	};
	const struct pressure before = pressure_now();
	if (sandbox_exec(run->s, &x, &end, err))
		return err_wrap(err, "test %s", t->path);
	o->cpu_pressure = pressure_cpu_since(&before);
	o->cpu_steal = pressure_steal_since(&before);
	o->ran = true;
	o->wall_ms = end.wall_ms;
	run->usage->cpu_ms += end.cpu_ms;
	if (end.memory_max > run->usage->memory_max)
		run->usage->memory_max = end.memory_max;
	if (end.end == SANDBOX_NOT_FOUND && end.no_folder && run->ran) {
		test_broke(o);
		snprintf(o->reason, sizeof o->reason, "not run: %s", end.text);
		return 0;
	}
	if (end.end == SANDBOX_NOT_FOUND)
		return cannot_start(run, t, r, end.text, err);
	run->ran = true;
	if (end.end != SANDBOX_EXITED)
		tell_limit(run, &end, timeout_ms);
	else
		test_ended(o, r == &runners[PYTEST], end.status);
	if (end.end == SANDBOX_EXITED && r == &runners[PYTEST])
		read_report(run, t, number);
	else if (end.end == SANDBOX_EXITED)
		test_said(o);
	return o->verdict == TEST_PASSED ? 0 : check_tool(run, t, o->exit_code, env, err);
}

static int run_test(struct test_run *run, size_t i, struct err *err)
{
	const struct task_test *t = &run->job->step->tests[i];
	const struct runner *r = find_runner(t);
	AUTO(strv) struct strv env = STRV_INIT;

	make_env(&env, run, t, i + 1);
	log_line(run, "=== %s (%s) ===", t->path, r->name);
	if (run->end_ms && clock_mono_ms() >= run->end_ms) {
		test_broke(run->now);
		snprintf(run->now->reason, sizeof run->now->reason,
			 "not run: the time of all tests together (%g s) was used up",
			 (double)run->job->attempt->trial.limits.eval_total_ms / 1000);
		log_verdict(run, run->now);
		return 0;
	}
	/* Once more: an earlier test ran the agent's code, which could have changed this one. What it left in the way makes
	 * this test fail, and no failure of ours. */
	if ((run->ran && sandbox_freshen(run->s, err)) || put_script(run, t, err) ||
	    put_result_dir(run, t, i + 1, err) || clear_results(run, t, i + 1, err) ||
	    exec_test(run, t, r, i + 1, strv_items(&env), err)) {
		if (!run->ran || !err->from_box)
			return -1;
		test_broke(run->now);
		snprintf(run->now->reason, sizeof run->now->reason, "not run: %.240s", err->msg);
	}
	read_files(run, t, i + 1);
	log_verdict(run, run->now);
	return 0;
}

static int lay_out(struct test_run *run, struct err *err)
{
	const struct task_step *step = run->job->step;

	if (put_diff(run, err))
		return -1;
	for (size_t i = 0; i < step->tests_n; i++)
		if (put_script(run, &step->tests[i], err))
			return -1;
	return 0;
}

static int run_all(struct test_run *run, struct test_outcome *out, struct err *err)
{
	const struct task_step *step = run->job->step;

	if (lay_out(run, err))
		return -1;
	if (run->job->attempt->trial.limits.eval_total_ms)
		run->end_ms = clock_mono_ms() + run->job->attempt->trial.limits.eval_total_ms;
	for (size_t i = 0; i < step->tests_n; i++) {
		run->now = &out[i];
		if (run_test(run, i, err))
			return -1;
	}
	return 0;
}

static void refuse_all(struct test_run *run, struct test_outcome *out)
{
	log_line(run, "The diff does not apply: %s", run->job->patch_refused);
	for (size_t i = 0; i < run->job->step->tests_n; i++) {
		test_broke(&out[i]);
		snprintf(out[i].reason, sizeof out[i].reason, "not run: the diff does not apply");
	}
}

static int run_logged(struct test_run *run, struct test_outcome *out, struct evaluation *e,
		      struct err *err)
{
	const struct eval_job *job = run->job;
	const struct pressure before = pressure_now();

	if (job->patch_refused)
		refuse_all(run, out);
	else if (job->step->tests_n && run_all(run, out, err)) {
		log_line(run, "=== stopped: %s ===", err->msg);
		return -1;
	}
	if (job->attempt->watch_network && run->s && !job->attempt->trial.network &&
	    test_network_attempts(job, run->s, &e->network_attempts, err))
		return -1;
	e->usage.wall_ms = clock_mono_ms() - before.at_ms;
	e->usage.cpu_pressure = pressure_cpu_since(&before);
	e->usage.cpu_steal = pressure_steal_since(&before);
	return 0;
}

int test_scripts_run(const struct eval_job *job, struct sandbox *s, struct test_outcome *out,
		     struct evaluation *e, struct err *err)
{
	AUTO(capped_log) struct capped_log *log = NULL;
	AUTO(json) json_t *writers = json_object();
	struct test_run run = {.job = job,
			       .s = s,
			       .metrics = &e->metrics,
			       .writers = writers,
			       .conflicts = &e->conflicts,
			       .suspect = &e->suspect,
			       .usage = &e->usage};

	if (capped_log_open(&log, job->run_fd, ATTEMPT_EVAL_LOG, CAPPED_LOG_BYTES, err))
		return -1;
	run.log = log;
	int rc = run_logged(&run, out, e, err);
	strv_release(&run.touched);
	return rc ? -1 : capped_log_close(STEAL(&log), err);
}

int test_scripts_lay_out(const struct eval_job *job, struct sandbox *s, const char *test,
			 struct strv *argv, struct strv *env, struct err *err)
{
	struct test_run run = {.job = job, .s = s};
	const struct task_step *step = job->step;
	size_t i = 0;

	int rc = lay_out(&run, err);
	strv_release(&run.touched);
	while (test && i < step->tests_n && strcmp(step->tests[i].path, test) != 0 &&
	       strcmp(path_base(step->tests[i].path), test) != 0)
		i++;
	if (rc || i >= step->tests_n)
		return rc || !step->tests_n
			       ? rc
			       : err_set(err, ERR_USAGE, 0, "the task has no test \"%s\"", test);
	make_env(env, &run, &step->tests[i], i + 1);
	if (test)
		make_argv(argv, &run, &step->tests[i], i + 1);
	return put_result_dir(&run, &step->tests[i], i + 1, err);
}
