/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/preflight.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agent-program.h"
#include "core/datadir.h"
#include "core/event.h"
#include "rollout/missing-tool.h"
#include "rollout/preflight-jobs.h"
#include "task/dotenv.h"

enum {
	RECORD_MAX = 1 << 20,
	NAMED = 5,	/* tasks, in a remark */
	SLOW_MS = 2000, /* what took less is not worth a line */
	EXIT_NOT_FOUND = 127,
};

/* As eval/test-verdict.c has it. */
#define PYTEST_FOUND_NONE "pytest found no tests"

/* One task in one kind of sandbox. */
struct check {
	char key[HASH_HEX];
	bool cached;
	struct preflight_job job;
	json_t *record; /* as kept; NULL: there is nothing to keep */
	char *fault;	/* why its tests cannot run here; NULL: they can */
	bool mistake;	/* it is the task's own, on any machine */
};

struct preflight {
	struct session *s;
	const struct listener *l;
	int parallel;
	struct check *checks;
	size_t n, cap;
	json_t *seen; /* key -> true */
};

/* When programs came or went, what was kept says nothing any more. */
static json_t *programs_state(void)
{
	static const char *const dirs[] = {
		"/usr/bin", "/usr/sbin",    "/usr/local/bin",	 "/bin",
		"/usr/lib", "/usr/lib/jvm", "/etc/alternatives", "/usr/lib/python3/dist-packages"};
	json_t *state = json_array();
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		json_array_append_new(state,
				      json_integer(stat(dirs[i], &st) ? 0 : st.st_mtim.tv_sec));
	return state;
}

static void make_key(const struct preflight *p, const struct preflight_job *job,
		     char key[static HASH_HEX])
{
	const struct trial *t = job->trial;
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;

	json_put_str(j, "task", job->task_hash);
	json_put_str(j, "program", ROLLOUTS_VERSION);
	json_put_str(j, "sandbox", sandbox_kind_name(t->sandbox));
	json_put_str(j, "image", *t->image_id ? t->image_id : t->image);
	json_put_str(j, "repo", t->repo_path);
	json_put_str(j, "tools", json_get_str(p->s->plan.tools, "id", ""));
	json_put_str(j, "launcher", t->launcher);
	json_put_bool(j, "network", t->network);
	json_put_int(j, "eval_timeout_ms", t->limits.eval_timeout_ms);
	json_put_int(j, "memory_mb", t->limits.memory_mb);
	json_put_int(j, "disk_mb", t->limits.disk_mb);
	if (t->limits.disk_files)
		json_put_int(j, "disk_files", t->limits.disk_files);
	json_put_real(j, "cpus", t->limits.cpus);
	if (t->sandbox == SANDBOX_LOCAL || t->sandbox == SANDBOX_LANDLOCK)
		json_put(j, "programs", programs_state());
	json_format(&text, j, false);
	hash_once(text.data, text.len, key);
}

static char *record_path(const struct check *c)
{
	return xasprintf(DATA_PREFLIGHT "/%s.json", c->key);
}

static void add_item(struct preflight *p, const struct sched_item *item)
{
	const struct trial *t = &p->s->plan.trials[item->index];
	struct check c = {
		.job = {.trial = t,
			.task_hash = item->task_hash ? item->task_hash : t->task_hash,
			.task_snapshot = item->task_hash ? item->task_snapshot : t->task_snapshot}};
	struct err ignored;

	/* A Harbor verifier judges a container, not a diff. */
	if (trial_is_harbor(t) || t->sandbox == SANDBOX_NONE || !(t->evaluate || item->regrade))
		return;
	make_key(p, &c.job, c.key);
	if (json_object_get(p->seen, c.key))
		return;
	json_object_set_new(p->seen, c.key, json_true());
	AUTO(free) char *path = record_path(&c);
	c.cached = !json_read(&c.record, p->s->store.root_fd, path, RECORD_MAX, &ignored);
	GROW(p->checks, p->n, p->cap);
	p->checks[p->n++] = c;
}

/* Where to get TOOL, in the sandbox that T has. */
static char *remedy(const struct trial *t, const char *tool)
{
	AUTO(free) char *found = t->sandbox != SANDBOX_DOCKER ? program_on_path(tool) : NULL;

	if (t->sandbox == SANDBOX_DOCKER)
		return xstrdup("install it in the task's image (its Dockerfile or docker_image)");
	if (found)
		return xasprintf("this machine has %s, which sandboxes do not show: put "
				 "tools = [\"%s\"] at the top of the benchmark",
				 found, tool);
	return xstrdup("install it on this machine, below /usr, or give the task a Dockerfile");
}

/* Why the test at PATH, which failed, could not have passed whatever an agent does; NULL: it could. */
static char *test_fault(const struct preflight_job *job, const char *path, const json_t *test)
{
	int exit_code = (int)json_get_int(test, "exit_code", -1);
	struct missing_tool m;
	char *fault = NULL;

	missing_tool_find(&m, json_get_str(test, "output", ""), exit_code);
	if (m.name) {
		AUTO(free) char *what_to_do = remedy(job->trial, m.name);
		fault = xasprintf("test %s needs %s, which the sandbox does not have (%s): %s",
				  path, m.name, m.line, what_to_do);
	} else if (exit_code == EXIT_NOT_FOUND && !m.own) {
		fault = xasprintf("test %s ends with 127, \"command not found\", and does not say "
				  "of what: see to it that all its commands are in the sandbox",
				  path);
	}
	missing_tool_release(&m);
	return fault;
}

/* A worker's own failure counts where it could not grade, and will not the next time. */
static char *worker_fault(const json_t *result)
{
	const json_t *phases = json_object_get(result, "phases_ms");
	const char *outcome = json_get_str(result, "outcome", "");

	if (strcmp(outcome, outcome_name(OUTCOME_INFRA_ERROR)) != 0 ||
	    json_get_bool(result, "retry", false) || !json_object_get(phases, PHASE_EVALUATE))
		return NULL;
	return xstrdup(json_get_str(result, "reason", "cannot be graded"));
}

static char *find_fault(const struct preflight_job *job)
{
	const char *path;
	json_t *test;
	char *fault = worker_fault(job->result);

	json_object_foreach (json_object_get(job->evaluation, "test_results"), path, test)
		if (!fault && !json_get_bool(test, "success", false))
			fault = test_fault(job, path, test);
	return fault;
}

/* Two tests that write one metric: whichever agent runs, it would count for neither. */
static char *metric_fault(const struct preflight_job *job)
{
	const json_t *conflicts = json_object_get(job->evaluation, "metric_conflicts");

	return xstrdup(json_string_value(json_array_get(conflicts, 0)));
}

/* What the .env of the task's folder holds and no sandbox is given. */
static void read_withheld(struct strv *names, const struct trial *t)
{
	AUTO(free) char *file = path_join(t->task_dir, ".env");
	AUTO(strv) struct strv notes = STRV_INIT;
	struct issues ignored = {.lines = &notes};
	AUTO(kvs) struct kvs others = {0};

	dotenv_read(&others, AT_FDCWD, file, &ignored, &notes, names);
}

/* A credential that a failed test says it misses: code that it calls wants it, whatever the agent does. NULL: none. */
static const char *missed_credential(const struct preflight_job *job, const struct strv *withheld)
{
	const char *path;
	json_t *test;

	json_object_foreach (json_object_get(job->evaluation, "test_results"), path, test)
		for (size_t i = 0; i < withheld->n && !json_get_bool(test, "success", false); i++)
			if (strstr(json_get_str(test, "output", ""), withheld->v[i]))
				return withheld->v[i];
	return NULL;
}

/* A test of which nothing ran, all of it being skipped or none of it found; NULL: each ran something. An agent may bring what it is
 * skipped for: whether it is a mistake, only the task's own solution can say. */
static const char *hollow_test(const struct preflight_job *job)
{
	const char *path;
	json_t *test;

	json_object_foreach (json_object_get(job->evaluation, "test_results"), path, test)
		if (!json_get_bool(test, "success", false) &&
		    (!strcmp(json_get_str(test, "outcome", ""), "skipped") ||
		     !strcmp(json_get_str(test, "reason", ""), PYTEST_FOUND_NONE)))
			return path;
	return NULL;
}

static json_t *make_record(const struct preflight_job *job)
{
	AUTO(strv) struct strv withheld = STRV_INIT;
	json_t *record, *tests = json_array(), *test;
	const char *path;

	json_object_foreach (json_object_get(job->evaluation, "test_results"), path, test) {
		json_t *j = json_object();
		json_put_str(j, "path", path);
		json_put_bool(j, "passed", json_get_bool(test, "success", false));
		json_put_int(j, "ms", (int64_t)(1000 * json_get_real(test, "duration_sec", 0)));
		json_put_bool(j, "late",
			      !strncmp(json_get_str(test, "reason", ""), "timed out", 9));
		json_array_append_new(tests, j);
	}
	record = json_object();
	json_put(record, "tests", tests);
	if (hollow_test(job))
		json_put_str(record, "hollow", hollow_test(job));
	read_withheld(&withheld, job->trial);
	const char *missed = missed_credential(job, &withheld);
	if (missed)
		json_put_str(record, "credential", missed);
	return record;
}

static void take_results(struct check *c)
{
	c->fault = metric_fault(&c->job);
	c->mistake = c->fault;
	if (!c->fault)
		c->fault = find_fault(&c->job);
	if (c->job.evaluation)
		c->record = make_record(&c->job);
	else if (!c->fault)
		log_debug("preflight of %s: %s", c->job.trial->task_id,
			  json_get_str(c->job.result, "reason", "its worker left no result"));
}

static int run_checks(struct preflight *p, struct check *const *which, size_t n, bool gold,
		      struct preflight_job *jobs, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		jobs[i] = which[i]->job;
		jobs[i].gold = gold;
		jobs[i].result = jobs[i].evaluation = NULL;
	}
	return preflight_jobs_run(p->s, p->l, jobs, n, p->parallel, err);
}

static int run_new(struct preflight *p, struct err *err)
{
	AUTO(free) struct preflight_job *jobs = xcalloc(p->n + 1, sizeof *jobs);
	AUTO(free) struct check **which = xcalloc(p->n + 1, sizeof *which);
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if (!p->checks[i].cached)
			which[n++] = &p->checks[i];
	int rc = run_checks(p, which, n, false, jobs, err);
	for (size_t i = 0; i < n; i++) {
		which[i]->job = jobs[i];
		if (!rc)
			take_results(which[i]);
	}
	return rc;
}

static bool has_gold(const struct preflight *p, const struct check *c)
{
	AUTO(free) char *gold = path_join(c->job.task_snapshot, SNAPSHOT_GOLD);

	return path_exists(p->s->store.root_fd, gold);
}

/* A tool may be what the agent is to make: with the task's own solution it is there. */
static void take_gold(struct check *c, const struct preflight_job *job)
{
	AUTO(free) char *fault = find_fault(job);
	const char *hollow = hollow_test(job);

	if (!job->evaluation || fault)
		return;
	free(c->fault);
	c->fault = NULL;
	json_object_del(c->record, "hollow");
	if (hollow)
		json_put_str(c->record, "void", hollow);
}

static bool is_hollow(const struct check *c)
{
	return json_object_get(c->record, "hollow");
}

static bool is_void(const struct check *c)
{
	return json_object_get(c->record, "void");
}

static int ask_gold(struct preflight *p, struct err *err)
{
	AUTO(free) struct preflight_job *jobs = xcalloc(p->n + 1, sizeof *jobs);
	AUTO(free) struct check **which = xcalloc(p->n + 1, sizeof *which);
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++)
		if ((p->checks[i].fault || is_hollow(&p->checks[i])) && !p->checks[i].mistake &&
		    !p->checks[i].cached && has_gold(p, &p->checks[i]))
			which[n++] = &p->checks[i];
	int rc = run_checks(p, which, n, true, jobs, err);
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			take_gold(which[i], &jobs[i]);
		preflight_job_release(&jobs[i]);
	}
	return rc;
}

static void keep(const struct preflight *p, const struct check *c)
{
	AUTO(free) char *path = record_path(c);
	struct err err;

	if (c->cached || c->fault || !c->record)
		return;
	if (path_make_dirs(p->s->store.root_fd, DATA_PREFLIGHT, 0755, &err) ||
	    json_write(p->s->store.root_fd, path, c->record, false, &err))
		log_warn("%s", err.msg);
}

static int64_t grading_ms(const struct check *c)
{
	int64_t ms = 0;
	json_t *test;
	size_t i;

	json_array_foreach (json_object_get(c->record, "tests"), i, test)
		ms += json_get_int(test, "ms", 0);
	return ms;
}

static bool passes_all(const struct check *c)
{
	const json_t *tests = json_object_get(c->record, "tests");
	json_t *test;
	size_t i;

	json_array_foreach (tests, i, test)
		if (!json_get_bool(test, "passed", false))
			return false;
	return json_array_size(tests) > 0;
}

static bool is_late(const struct check *c)
{
	json_t *test;
	size_t i;

	json_array_foreach (json_object_get(c->record, "tests"), i, test)
		if (json_get_bool(test, "late", false))
			return true;
	return false;
}

/* "WHAT: a, b and 3 more". */
static void remark(const struct preflight *p, bool (*applies)(const struct check *),
		   const char *what)
{
	AUTO(buf) struct buf names = BUF_INIT;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!applies(&p->checks[i]))
			continue;
		if (n++ < NAMED)
			buf_addf(&names, "%s%s", names.len ? ", " : "",
				 p->checks[i].job.trial->task_id);
	}
	if (n > NAMED)
		buf_addf(&names, " and %zu more", n - NAMED);
	if (n)
		listener_say(p->l, "preflight: %s: %s", what, names.data);
}

static void say_credentials(const struct preflight *p)
{
	for (size_t i = 0; i < p->n; i++) {
		const char *name = json_get_str(p->checks[i].record, "credential", "");
		if (*name)
			listener_say(
				p->l,
				"preflight: task %s: its tests miss %s, a credential of its .env "
				"that no sandbox is given; where a dummy will do, set one in the "
				"test script: export %s=dummy",
				p->checks[i].job.trial->task_id, name, name);
	}
}

static void say_time(const struct preflight *p, int64_t took_ms)
{
	const struct check *longest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		n += !p->checks[i].cached;
		if (!longest || grading_ms(&p->checks[i]) > grading_ms(longest))
			longest = &p->checks[i];
	}
	if (took_ms < SLOW_MS || !longest)
		return;
	listener_say(
		p->l,
		"preflight: the tests of %zu task%s ran once on the start commit, %.1f s in all; "
		"a grading takes %.1f s at most (%s)",
		n, n == 1 ? "" : "s", (double)took_ms / 1000, (double)grading_ms(longest) / 1000,
		longest->job.trial->task_id);
}

static int conclude(const struct preflight *p, int64_t took_ms, struct err *err)
{
	const struct check *first = NULL;
	size_t faults = 0;

	for (size_t i = 0; i < p->n; i++) {
		const struct check *c = &p->checks[i];
		keep(p, c);
		if (!c->fault)
			continue;
		if (faults++)
			listener_say(p->l, "preflight: task %s: %s", c->job.trial->task_id,
				     c->fault);
		else
			first = c;
	}
	say_time(p, took_ms);
	say_credentials(p);
	remark(p, passes_all, "all tests pass before any work");
	remark(p, is_hollow,
	       "runs no test before any work, all being skipped, or there being none (a diff.patch "
	       "in the task tells whether that is meant)");
	remark(p, is_void,
	       "runs no test, with the task's own solution neither, all being skipped, or there "
	       "being none: it can never pass");
	remark(p, is_late, "takes longer than its limit, or than 300 s, before any work");
	if (!faults)
		return 0;
	return err_set(err, first->mistake ? ERR_USAGE : ERR_INFRA, 0,
		       "preflight: task %s: %s (%zu of %zu tasks; nothing was started%s)",
		       first->job.trial->task_id, first->fault, faults, p->n,
		       first->mistake ? ""
				      : "; where an agent is to make the tool: --no-preflight");
}

int preflight_run(struct session *s, const struct listener *l, const struct session_work *w,
		  struct err *err)
{
	struct preflight p = {.s = s,
			      .l = l,
			      .parallel = w->parallel ? w->parallel : s->plan.parallel,
			      .seen = json_object()};
	int64_t start_ms = clock_mono_ms();

	for (size_t i = 0; !w->no_preflight && i < w->n; i++)
		add_item(&p, &w->items[i]);
	int rc = run_new(&p, err) || ask_gold(&p, err) ||
				 conclude(&p, clock_mono_ms() - start_ms, err)
			 ? -1
			 : 0;
	for (size_t i = 0; i < p.n; i++) {
		preflight_job_release(&p.checks[i].job);
		json_decref(p.checks[i].record);
		free(p.checks[i].fault);
	}
	free(p.checks);
	json_decref(p.seen);
	return rc;
}
