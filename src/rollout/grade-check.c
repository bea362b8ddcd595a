/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/grade-check.h"
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "rollout/grade-probes.h"
#include "rollout/images.h"
#include "rollout/preflight-jobs.h"

enum { GOLD_MAX = 64 << 20, PATCHES_MAX = 1000 };

enum kind {
	KIND_SOLUTION,
	KIND_NOTHING,
	KIND_PROBE,
	KIND_LOOK,
	KIND_RIGHT,
	KIND_WRONG,
	KIND_COUNT_
};

/* One grading. */
struct run {
	struct preflight_job job;
	enum kind kind;
	size_t task;
	char *name; /* of a probe or a patch */
};

struct checked {
	const struct trial *trial;
	const char *folder; /* the last part of its path */
	struct task task;   /* of its snapshot */
	struct buf gold;
	json_t *doc;
};

struct check {
	struct session *s;
	const struct grade_check_request *req;
	struct checked *tasks;
	size_t tasks_n;
	struct run *runs;
	size_t n, cap;
};

static void add_line(json_t *doc, const char *list, const char *kind, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void add_line(json_t *doc, const char *list, const char *kind, const char *fmt, ...)
{
	json_t *line = json_object();
	va_list args;

	va_start(args, fmt);
	AUTO(free) char *text = xvasprintf(fmt, args);
	va_end(args);
	json_put_str(line, "kind", kind);
	json_put_str(line, "text", text);
	json_array_append_new(json_object_get(doc, list), line);
}

#define finding(doc, kind, ...) add_line(doc, "findings", kind, __VA_ARGS__)
#define note(doc, kind, ...) add_line(doc, "notes", kind, __VA_ARGS__)

/* What is to be run. */

static struct run *add_run(struct check *c, size_t task, enum kind kind, const char *name)
{
	const struct trial *t = c->tasks[task].trial;

	GROW(c->runs, c->n, c->cap);
	c->runs[c->n] = (struct run){.job = {.trial = t,
					     .task_hash = t->task_hash,
					     .task_snapshot = t->task_snapshot,
					     .whole = true,
					     .number = (int)c->n + 1},
				     .kind = kind,
				     .task = task,
				     .name = xstrdup(name)};
	return &c->runs[c->n++];
}

static int add_task(struct check *c, const struct trial *t, struct err *err)
{
	AUTO(free) char *gold = path_join(t->task_snapshot, SNAPSHOT_GOLD);
	int root = c->s->store.root_fd;

	for (size_t i = 0; i < c->tasks_n; i++)
		if (!strcmp(c->tasks[i].trial->task_hash, t->task_hash))
			return 0;
	c->tasks = xreallocarray(c->tasks, c->tasks_n + 1, sizeof *c->tasks);
	struct checked *one = &c->tasks[c->tasks_n++];
	*one = (struct checked){.trial = t,
				.folder = path_base(t->task_dir),
				.gold = BUF_INIT,
				.doc = json_object()};
	json_put_str(one->doc, "task", t->task_id);
	json_put_str(one->doc, "task_dir", t->task_dir);
	json_put(one->doc, "findings", json_array());
	json_put(one->doc, "notes", json_array());
	if (task_load(&one->task, root, t->task_snapshot, err))
		return -1;
	return one->task.has_gold ? path_read(root, gold, GOLD_MAX, &one->gold, err) : 0;
}

static bool is_patch(const char *name)
{
	const char *dot = strrchr(name, '.');

	return *name != '.' && dot && (!strcmp(dot, ".patch") || !strcmp(dot, ".diff"));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The patches in DIR, sorted; a missing folder has none. */
static void list_patches(struct strv *out, const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d)) && out->n < PATCHES_MAX;)
		if (is_patch(e->d_name))
			strv_push(out, e->d_name);
	if (d)
		closedir(d);
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_name);
}

/* DIR/TASK, or DIR itself where there is one task only. */
static int add_patches(struct check *c, size_t task, enum kind kind, const char *dir, size_t *found,
		       struct err *err)
{
	AUTO(free) char *own = path_join(dir, c->tasks[task].folder);
	const char *from = path_is_dir(AT_FDCWD, own) ? own : c->tasks_n == 1 ? dir : NULL;
	AUTO(strv) struct strv names = STRV_INIT;

	if (from)
		list_patches(&names, from);
	for (size_t i = 0; i < names.n; i++) {
		AUTO(free) char *path = path_join(from, names.v[i]);
		AUTO(buf) struct buf text = BUF_INIT;
		if (path_read(AT_FDCWD, path, GOLD_MAX, &text, err))
			return -1;
		struct run *r = add_run(c, task, kind, names.v[i]);
		r->job.agent = "oracle";
		r->job.spec = grade_probe_patch(text.data ? text.data : "", text.len);
	}
	*found += names.n;
	return 0;
}

static int add_all_patches(struct check *c, enum kind kind, const char *option, const char *dir,
			   struct err *err)
{
	size_t found = 0;

	if (!dir)
		return 0;
	for (size_t i = 0; i < c->tasks_n; i++)
		if (add_patches(c, i, kind, dir, &found, err))
			return -1;
	return found ? 0
		     : err_set(err, ERR_USAGE, 0,
			       "--%s %s holds no *.patch or *.diff of these tasks: of several "
			       "tasks, each has a folder of its own there",
			       option, dir);
}

static void add_probes(struct check *c, size_t task)
{
	const struct checked *one = &c->tasks[task];
	AUTO(strv) struct strv paths = STRV_INIT;

	if (one->gold.len)
		grade_probe_paths(&paths, one->gold.data, one->gold.len);
	for (int i = 0; i < GRADE_PROBES; i++) {
		const char *name;
		json_t *spec = grade_probe(i, &paths, &name);
		if (!spec)
			continue;
		struct run *r = add_run(c, task, KIND_PROBE, name);
		r->job.agent = "probe";
		r->job.spec = spec;
	}
}

static int plan(struct check *c, struct err *err)
{
	for (size_t i = 0; i < c->tasks_n; i++) {
		const struct checked *one = &c->tasks[i];
		for (int k = 0; k < c->req->times; k++) {
			if (one->gold.len)
				add_run(c, i, KIND_SOLUTION, NULL)->job.agent = "oracle";
			add_run(c, i, KIND_NOTHING, NULL)->job.agent = "nop";
		}
		if (!c->req->no_probes)
			add_probes(c, i);
		if (one->gold.len || one->task.repo.end_commit) {
			struct run *look = add_run(c, i, KIND_LOOK, NULL);
			look->job.agent = "probe";
			look->job.ungraded = true;
			look->job.spec = grade_probe_look(one->gold.data ? one->gold.data : "",
							  one->gold.len, one->task.repo.end_commit);
		}
	}
	return add_all_patches(c, KIND_RIGHT, "correct", c->req->right, err) ||
			       add_all_patches(c, KIND_WRONG, "defective", c->req->wrong, err)
		       ? -1
		       : 0;
}

/* What came of it. */

static double score(const struct run *r)
{
	const json_t *v = json_object_get(r->job.evaluation, "total_score");

	return json_is_number(v) ? json_number_value(v) : NAN;
}

/* The first test of a grading that did not pass, and why: for people, the caller frees. */
static char *first_failure(const struct run *r)
{
	const char *path;
	json_t *t;

	json_object_foreach (json_object_get(r->job.evaluation, "test_results"), path, t)
		if (!json_get_bool(t, "success", false))
			return xasprintf("; %s: %s", path, json_get_str(t, "reason", ""));
	return xstrdup("");
}

/* The runs of TASK and KIND: the I-th, or NULL. */
static const struct run *nth(const struct check *c, size_t task, enum kind kind, size_t i)
{
	for (size_t k = 0; k < c->n; k++)
		if (c->runs[k].task == task && c->runs[k].kind == kind && !i--)
			return &c->runs[k];
	return NULL;
}

struct range {
	size_t n, unscored;
	double low, high;
	const struct run *worst;
};

static struct range scores_of(const struct check *c, size_t task, enum kind kind, json_t *list)
{
	struct range range = {.low = INFINITY, .high = -INFINITY};
	const struct run *r;

	for (size_t i = 0; (r = nth(c, task, kind, i)); i++) {
		double s = score(r);
		json_array_append_new(list, isnan(s) ? json_null() : json_real(s));
		range.n++;
		if (isnan(s)) {
			range.unscored++;
			continue;
		}
		if (s < range.low) {
			range.low = s;
			range.worst = r;
		}
		range.high = fmax(range.high, s);
	}
	return range;
}

/* A worker that could not grade says nothing of the task's tests. */
static void tell_faults(const struct check *c, size_t task)
{
	json_t *doc = c->tasks[task].doc;

	for (size_t i = 0; i < c->n; i++) {
		const struct run *r = &c->runs[i];
		const char *outcome = json_get_str(r->job.result, "outcome", "");
		if (r->task != task)
			continue;
		if (!r->job.result || !strcmp(outcome, "infra_error")) {
			finding(doc, "fault", "cannot be graded here: %s",
				json_get_str(r->job.result, "reason", "the worker left no result"));
			return;
		}
		const json_t *conflicts = json_object_get(r->job.evaluation, "metric_conflicts");
		if (json_array_size(conflicts)) {
			finding(doc, "metrics", "%s",
				json_string_value(json_array_get(conflicts, 0)));
			return;
		}
	}
}

static void judge_solution(const struct check *c, size_t task)
{
	json_t *doc = c->tasks[task].doc, *list = json_array();
	struct range r = scores_of(c, task, KIND_SOLUTION, list);

	json_put(doc, "oracle", list);
	if (!r.n)
		note(doc, "oracle", "there is no solution (diff.patch) to try the tests on");
	if (r.n == r.unscored || r.low >= 1)
		return;
	AUTO(free) char *why = first_failure(r.worst);
	if (r.high >= 1)
		finding(doc, "flaky", "its own solution scores from %.3f to 1.000%s", r.low, why);
	else
		finding(doc, "oracle", "its own solution scores %.3f and not 1%s", r.low, why);
}

static double judge_nothing(const struct check *c, size_t task)
{
	json_t *doc = c->tasks[task].doc, *list = json_array();
	struct range r = scores_of(c, task, KIND_NOTHING, list);

	json_put(doc, "nop", list);
	if (r.n == r.unscored) {
		note(doc, "nop", "no rubric has a test: nothing to check");
		return 0;
	}
	if (r.high >= 1)
		finding(doc, "nop", "it passes before any work is done");
	else if (r.low != r.high)
		finding(doc, "flaky", "with no work done it scores from %.3f to %.3f", r.low,
			r.high);
	else if (r.high > 0)
		note(doc, "nop", "with no work done it scores %.3f", r.high);
	return r.high;
}

/* Tests that pass and fail with the same work, and those that pass before any. */
static void judge_tests(const struct check *c, size_t task, enum kind kind)
{
	const char *with = kind == KIND_SOLUTION ? "its own solution" : "no work done";
	const struct run *first = nth(c, task, kind, 0), *r;
	json_t *doc = c->tasks[task].doc, *test;
	const char *path;

	if (!first)
		return;
	json_object_foreach (json_object_get(first->job.evaluation, "test_results"), path, test) {
		size_t passed = 0, n = 0;
		for (; (r = nth(c, task, kind, n)); n++) {
			const json_t *all = json_object_get(r->job.evaluation, "test_results");
			passed += json_get_bool(json_object_get(all, path), "success", false);
		}
		if (passed && passed < n)
			finding(doc, "flaky", "%s passes %zu of %zu times with %s", path, passed, n,
				with);
		else if (passed == n && kind == KIND_NOTHING)
			note(doc, "nop", "%s passes before any work", path);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* How long a grading takes, with the solution where there is one. */
static void judge_time(const struct check *c, size_t task)
{
	AUTO(free) double *v = xcalloc(c->n + 1, sizeof *v);
	enum kind kind = nth(c, task, KIND_SOLUTION, 0) ? KIND_SOLUTION : KIND_NOTHING;
	json_t *doc = c->tasks[task].doc, *j = json_object();
	int64_t limit_ms = c->tasks[task].trial->limits.eval_timeout_ms;
	const struct run *r;
	size_t n = 0;

	for (size_t i = 0; (r = nth(c, task, kind, i)); i++) {
		const json_t *e = json_object_get(r->job.result, "evaluation");
		if (json_is_object(e))
			v[n++] = (double)json_get_int(e, "wall_ms", 0) / 1000;
	}
	qsort(v, n, sizeof *v, by_value);
	json_put_real(j, "min", n ? v[0] : NAN);
	json_put_real(j, "median", n ? v[n / 2] : NAN);
	json_put_real(j, "max", n ? v[n - 1] : NAN);
	json_put(doc, "evaluation_seconds", j);
	if (n && limit_ms && v[n - 1] > (double)limit_ms / 2000)
		note(doc, "time",
		     "a grading takes up to %.1f s, more than half of eval_timeout_sec", v[n - 1]);
	if (n > 1 && v[n - 1] > 2 && v[n - 1] > 3 * v[0])
		note(doc, "time", "a grading takes %.1f to %.1f s", v[0], v[n - 1]);
}

static void judge_network(const struct check *c, size_t task)
{
	json_t *doc = c->tasks[task].doc;
	int64_t most = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct run *r = &c->runs[i];
		int64_t n = json_get_int(r->job.evaluation, "network_attempts", 0);
		if (r->task == task && r->kind < KIND_PROBE && n > most)
			most = n;
	}
	json_put_int(doc, "network_attempts", most);
	if (most)
		finding(doc, "network",
			"its tests try to reach a network (%lld attempts): what they find there "
			"changes, and here there is none",
			(long long)most);
	if (c->tasks[task].trial->network)
		note(doc, "network",
		     "network = true: agent and tests reach whatever is out there, the "
		     "repository's "
		     "later history included");
}

static void judge_probes(const struct check *c, size_t task, double nothing)
{
	json_t *doc = c->tasks[task].doc, *scores = json_object();
	const struct run *r;

	for (size_t i = 0; (r = nth(c, task, KIND_PROBE, i)); i++) {
		double s = score(r);
		json_put_real(scores, r->name, s);
		if (s > nothing + 1e-9)
			finding(doc, "cheat", "work that does nothing but cheat (%s) scores %.3f",
				r->name, s);
	}
	json_put(doc, "probes", scores);
	r = nth(c, task, KIND_LOOK, 0);
	for (const char *at = r ? r->job.log : NULL; at && (at = strstr(at, "reachable: "));) {
		size_t n = strcspn(at, "\n");
		finding(doc, "reachable", "%.*s", (int)(n - strlen("reachable: ")),
			at + strlen("reachable: "));
		at += n;
	}
}

static void judge_patches(const struct check *c, size_t task, enum kind kind)
{
	json_t *doc = c->tasks[task].doc, *scores = json_object();
	const struct run *r;

	for (size_t i = 0; (r = nth(c, task, kind, i)); i++) {
		double s = score(r);
		json_put_real(scores, r->name, s);
		AUTO(free) char *why = first_failure(r);
		const char *applies = json_get_str(r->job.result, "outcome", "");
		if (!strcmp(applies, "agent_error"))
			finding(doc, "patch", "%s: %s", r->name,
				json_get_str(r->job.result, "reason", ""));
		else if (kind == KIND_RIGHT && !(s >= 1))
			finding(doc, "correct", "%s is right and scores %.3f%s", r->name, s, why);
		else if (kind == KIND_WRONG && s >= 1)
			finding(doc, "defective", "%s is wrong and scores 1", r->name);
	}
	if (json_object_size(scores))
		json_put(doc, kind == KIND_RIGHT ? "correct" : "defective", scores);
	else
		json_decref(scores);
}

static void conclude(const struct check *c, size_t task)
{
	tell_faults(c, task);
	judge_solution(c, task);
	double nothing = judge_nothing(c, task);
	judge_tests(c, task, KIND_SOLUTION);
	judge_tests(c, task, KIND_NOTHING);
	judge_time(c, task);
	judge_network(c, task);
	judge_probes(c, task, nothing);
	judge_patches(c, task, KIND_RIGHT);
	judge_patches(c, task, KIND_WRONG);
}

static int run_all(struct check *c, const struct listener *l, struct err *err)
{
	AUTO(free) struct preflight_job *jobs = xcalloc(c->n + 1, sizeof *jobs);

	for (size_t i = 0; i < c->n; i++)
		jobs[i] = c->runs[i].job;
	int rc = preflight_jobs_run(c->s, l, jobs, c->n, c->s->plan.parallel, err);
	for (size_t i = 0; i < c->n; i++)
		c->runs[i].job = jobs[i];
	return rc;
}

static void release(struct check *c)
{
	for (size_t i = 0; i < c->n; i++) {
		preflight_job_release(&c->runs[i].job);
		json_decref((json_t *)c->runs[i].job.spec);
		free(c->runs[i].name);
	}
	for (size_t i = 0; i < c->tasks_n; i++) {
		task_release(&c->tasks[i].task);
		buf_release(&c->tasks[i].gold);
		json_decref(c->tasks[i].doc);
	}
	free(c->runs);
	free(c->tasks);
}

static int make_images(struct session *s, const struct listener *l, struct err *err)
{
	AUTO(free) struct sched_item *items = xcalloc(s->plan.n + 1, sizeof *items);
	const struct session_work w = {.items = items, .n = s->plan.n};

	for (size_t i = 0; i < s->plan.n; i++)
		items[i].index = i;
	return images_prepare(s, l, &w, err);
}

int grade_check_run(struct session *s, const struct listener *l,
		    const struct grade_check_request *req, json_t **out, struct err *err)
{
	struct check c = {.s = s, .req = req};
	int rc = make_images(s, l, err);

	for (size_t i = 0; !rc && i < s->plan.n; i++)
		if (s->plan.trials[i].sandbox != SANDBOX_NONE && s->plan.trials[i].evaluate)
			rc = add_task(&c, &s->plan.trials[i], err);
	if (!rc)
		rc = plan(&c, err) || run_all(&c, l, err) ? -1 : 0;
	if (!rc) {
		*out = json_array();
		for (size_t i = 0; i < c.tasks_n; i++) {
			conclude(&c, i);
			json_array_append(*out, c.tasks[i].doc);
		}
	}
	release(&c);
	return rc;
}

size_t grade_check_findings(const json_t *tasks)
{
	size_t n = 0, i;
	json_t *t;

	json_array_foreach ((json_t *)tasks, i, t)
		n += json_array_size(json_object_get(t, "findings"));
	return n;
}
