/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "plan/plan.h"

#define MAX 8

/* A benchmark under construction: entry i is of task[i]; the agent is "a" unless the entry names
 * one. */
struct world {
	struct bench bench;
	struct task task[MAX];
	const struct task *tasks[MAX];
	const char *names[MAX];
	const char *const *agents[MAX];
	struct plan plan;
	struct strv problems;
};

static struct bench_entry *add(struct world *w, const char *task, const char *models, int rollouts)
{
	size_t i = w->bench.entries_n;
	struct bench_entry *e = bench_add_entry(&w->bench);
	e->line = (int)i * 10 + 1;
	e->col = 16;
	e->prepared_dir = xasprintf("tasks/%s/", task);
	e->task_path = xstrdup(e->prepared_dir);
	e->rollouts = rollouts;
	AUTO(free) char *copy = xstrdup(models);
	char *rest = copy;
	for (char *m; (m = strsep(&rest, ","));)
		strv_push(&e->models, m);
	w->task[i] = (struct task){.dir = xstrdup(task), .id = xasprintf("id-%s", task)};
	hash_once(task, strlen(task), w->task[i].hash);
	w->tasks[i] = &w->task[i];
	return e;
}

static void set_up(struct world *w)
{
	*w = (struct world){0};
	bench_init(&w->bench);
	w->bench.config_path = xstrdup("b.toml");
	for (size_t i = 0; i < MAX; i++)
		w->names[i] = "a";
	for (size_t i = 0; i < MAX; i++)
		w->agents[i] = w->names;
}

static int make(struct world *w, const char *only, int64_t limit, const struct plan *old)
{
	struct err err;
	AUTO(strv) struct strv chosen = STRV_INIT;
	if (only)
		strv_push(&chosen, only);
	const struct plan_input in = {
		.bench = &w->bench,
		.tasks = w->tasks,
		.agents = w->agents,
		.only = &chosen,
		.limit = limit,
		.old = old ? old->trials : NULL,
		.old_n = old ? old->n : 0,
	};
	return plan_make(&w->plan, &in, &w->problems, &err);
}

static void tear_down(struct world *w)
{
	for (size_t i = 0; i < w->bench.entries_n; i++) {
		free(w->task[i].dir);
		free(w->task[i].id);
	}
	plan_release(&w->plan);
	bench_release(&w->bench);
	strv_release(&w->problems);
}

/* "task:model:rollout[:variant]", in order. */
static char *told(const struct plan *p)
{
	struct buf out = BUF_INIT;
	for (size_t i = 0; i < p->n; i++) {
		const struct trial *t = &p->trials[i];
		buf_addf(&out, "%s%s:%s:%d", i ? " " : "", t->task_id, t->model, t->rollout);
		if (*t->variant)
			buf_addf(&out, ":%s", t->variant);
	}
	return buf_detach(&out);
}

static void assert_told(const struct plan *p, const char *want)
{
	AUTO(free) char *text = told(p);
	assert_string_equal(text, want);
}

static void rollout_is_outermost(void **state)
{
	struct world w;
	set_up(&w);
	add(&w, "x", "m,n", 2);
	add(&w, "y", "m", 3);
	assert_int_equal(make(&w, NULL, 0, NULL), 0);
	assert_told(&w.plan, "id-x:m:0 id-x:n:0 id-y:m:0 id-x:m:1 id-x:n:1 id-y:m:1 id-y:m:2");
	assert_int_equal(w.plan.trials[6].index, 6);
	plan_stamp(&w.plan, "20250824__12-34-56");
	assert_string_equal(w.plan.trials[6].run_id, "20250824__12-34-56-6");
	tear_down(&w);
}

static void everything_lands_in_the_trial(void **state)
{
	struct world w;
	set_up(&w);
	struct bench_entry *e = add(&w, "x", "m", 2);
	e->seed = 40;
	e->limits.timeout_ms = 1234;
	e->workspace = WORKSPACE_COPY;
	e->retries = 5;
	e->evaluate = false;
	kvs_set(&e->env, "K", "V");
	assert_int_equal(make(&w, NULL, 0, NULL), 0);
	const struct trial *t = &w.plan.trials[1];
	assert_int_equal(t->seed, 41);
	assert_int_equal(t->limits.timeout_ms, 1234);
	assert_int_equal(t->workspace, WORKSPACE_COPY);
	assert_int_equal(t->sandbox, SANDBOX_LOCAL);
	assert_int_equal(t->retries, 5);
	assert_false(t->evaluate);
	assert_string_equal(kvs_get(&t->env, "K"), "V");
	assert_string_equal(t->task_dir, "tasks/x/");
	assert_string_equal(t->agent, "a");
	assert_string_equal(t->launcher, "local");
	assert_string_not_equal(t->key, w.plan.trials[0].key);
	tear_down(&w);
}

static void the_sweep_makes_two_variants(void **state)
{
	struct world w;
	set_up(&w);
	struct bench_entry *e = add(&w, "x", "m", 1);
	kvs_set(&e->env, "TIMEOUT_SEC", "1800");
	e->limits.timeout_ms = 1800000;
	add(&w, "y", "m", 1);
	e = add(&w, "x", "m", 1);
	kvs_set(&e->env, "TIMEOUT_SEC", "3600");
	e->limits.timeout_ms = 3600000;
	assert_int_equal(make(&w, NULL, 0, NULL), 0);
	assert_told(&w.plan, "id-x:m:0:TIMEOUT_SEC=1800 id-y:m:0 id-x:m:0:TIMEOUT_SEC=3600");
	tear_down(&w);
}

static void labels_name_what_differs(void **state)
{
	struct world w;
	set_up(&w);
	add(&w, "x", "m", 1)->limits.cpus = 2;
	add(&w, "x", "m,n", 1)->evaluate = false;
	add(&w, "x", "o", 1)->limits.cpus = 9; /* shares no model: needs no label */
	kvs_set(&add(&w, "x", "n", 1)->env, "A", "1");
	struct bench_entry *e = add(&w, "x", "m", 1);
	e->label = xstrdup("mine");
	e->limits.cpus = 2;
	assert_int_equal(make(&w, NULL, 0, NULL), 0);
	assert_told(&w.plan,
		    "id-x:m:0:cpus=2 evaluate=true id-x:m:0:no A no cpus evaluate=false "
		    "id-x:n:0:no A no cpus evaluate=false id-x:o:0 id-x:n:0:A=1 evaluate=true "
		    "id-x:m:0:mine");
	tear_down(&w);
}

static void the_same_twice_is_refused(void **state)
{
	struct world w;
	set_up(&w);
	add(&w, "x", "m", 3);
	add(&w, "x", "k,m", 1);
	struct bench_entry *e = add(&w, "y", "m", 1);
	e->label = xstrdup("l");
	e = add(&w, "y", "m", 1);
	e->label = xstrdup("l");
	e->limits.cpus = 3;
	assert_int_equal(make(&w, NULL, 0, NULL), -1);
	assert_int_equal(w.problems.n, 2);
	assert_string_equal(
		w.problems.v[0],
		"b.toml:11:16: this [[tasks]] makes the same trials as the one at line 1 (task "
		"id-x, model m): raise rollouts in one of them, or give each a label of its own");
	assert_non_null(strstr(w.problems.v[1], "b.toml:31:16: this [[tasks]] makes the same"));
	tear_down(&w);
}

static void only_and_limit(void **state)
{
	static const struct {
		const char *only;
		int64_t limit;
		const char *want;
	} cases[] = {
		{"id-y", 0, "id-y:m:0 id-y:m:1"},
		{"y", 0, "id-y:m:0 id-y:m:1"},
		{"tasks/?/", 3, "id-x:m:0 id-y:m:0 id-x:m:1"},
		{"*", 0, "id-x:m:0 id-y:m:0 id-x:m:1 id-y:m:1"},
		{NULL, 1, "id-x:m:0"},
	};
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w;
		set_up(&w);
		add(&w, "x", "m", 2);
		add(&w, "y", "m", 2);
		assert_int_equal(make(&w, cases[i].only, cases[i].limit, NULL), 0);
		assert_told(&w.plan, cases[i].want);
		assert_int_equal(w.plan.trials[w.plan.n - 1].index, (int)w.plan.n - 1);
		tear_down(&w);
	}
	struct world w;
	set_up(&w);
	add(&w, "x", "m", 2);
	assert_int_equal(make(&w, "zz", 0, NULL), -1);
	assert_string_equal(w.problems.v[0], "--only: no task matches \"zz\" (by id, folder name "
					     "or prepared_dir; tag:NAME by tag, difficulty:NAME)");
	tear_down(&w);
}

/* --only does not rename a variant: its key would change. */
static void a_filter_keeps_labels(void **state)
{
	struct world w;
	set_up(&w);
	add(&w, "x", "m", 1)->limits.cpus = 1;
	add(&w, "x", "m", 1)->limits.cpus = 2;
	assert_int_equal(make(&w, NULL, 1, NULL), 0);
	assert_told(&w.plan, "id-x:m:0:cpus=1");
	tear_down(&w);
}

/* More rollouts, models, tasks and variants are appended; nothing planned earlier is renamed. */
static void resume_appends(void **state)
{
	struct world first, second;
	set_up(&first);
	add(&first, "x", "m", 2);
	assert_int_equal(make(&first, NULL, 0, NULL), 0);
	set_up(&second);
	add(&second, "x", "m,n", 3);
	add(&second, "y", "m", 1);
	add(&second, "x", "m", 1)->limits.cpus = 2;
	assert_int_equal(make(&second, NULL, 0, &first.plan), 0);
	assert_told(&second.plan, "id-x:n:0 id-y:m:0 id-x:m:0:cpus=2 id-x:n:1 id-x:m:2 id-x:n:2");
	assert_int_equal(second.plan.trials[0].index, 2);
	plan_release(&second.plan);
	assert_int_equal(make(&second, NULL, 0, NULL), 0);
	tear_down(&second);
	tear_down(&first);
}

/* As two entries of one file, an earlier plan and an edited file are told apart by what differs. */
static void an_edit_is_a_variant(void **state)
{
	struct world first, second, third;
	set_up(&first);
	kvs_set(&add(&first, "x", "m", 1)->env, "A", "1");
	assert_int_equal(make(&first, NULL, 0, NULL), 0);
	set_up(&second);
	struct bench_entry *e = add(&second, "x", "m", 1);
	e->retries = 9; /* makes no score */
	e->limits.cpus = 2;
	e->network = !e->network;
	assert_int_equal(make(&second, NULL, 0, &first.plan), 0);
	assert_told(&second.plan, e->network ? "id-x:m:0:no A network=true cpus=2"
					     : "id-x:m:0:no A network=false cpus=2");
	assert_int_equal(second.plan.notes.n, 1);
	set_up(&third);
	e = add(&third, "x", "m", 2);
	kvs_set(&e->env, "A", "1");
	e->retries = 9;
	assert_int_equal(make(&third, NULL, 0, &first.plan), 0);
	assert_told(&third.plan, "id-x:m:1");
	assert_int_equal(third.plan.notes.n, 0);
	/* The folder is the old one, the task in it is not. */
	plan_release(&third.plan);
	hash_once("other", 5, third.task[0].hash);
	assert_int_equal(make(&third, NULL, 0, &first.plan), -1);
	assert_int_equal(third.problems.n, 1);
	assert_non_null(strstr(third.problems.v[0],
			       "b.toml:1:16: task \"id-x\" (tasks/x/) is not what it was"));
	tear_down(&third);
	tear_down(&second);
	tear_down(&first);
}

static void a_model_that_others_answer_is_a_variant(void **state)
{
	struct world first, second;
	const struct plan_route old = {"one", "chat", "m-1"}, new = {"two", "chat", "m-2"};
	const struct plan_route *const was[] = {&old}, *const is[] = {&new};
	set_up(&first);
	add(&first, "x", "m", 1)->label = xstrdup("mine");
	set_up(&second);
	add(&second, "x", "m", 1)->label = xstrdup("mine");
	struct plan_input in = {
		.bench = &first.bench, .tasks = first.tasks, .agents = first.agents, .routes = was};
	struct err err;
	assert_int_equal(plan_make(&first.plan, &in, &first.problems, &err), 0);
	in.bench = &second.bench;
	in.routes = is;
	in.old = first.plan.trials;
	in.old_n = first.plan.n;
	assert_int_equal(plan_make(&second.plan, &in, &second.problems, &err), 0);
	assert_told(&second.plan, "id-x:m:0:mine provider=two model_id=m-2");
	tear_down(&second);
	tear_down(&first);
}

static void a_plan_has_a_size(void **state)
{
	struct world w;
	set_up(&w);
	for (int i = 0; i < MAX; i++) {
		AUTO(free) char *name = xasprintf("t%d", i);
		add(&w, name, "a,b", 100000);
	}
	assert_int_equal(make(&w, NULL, 0, NULL), -1);
	assert_string_equal(
		w.problems.v[0],
		"b.toml: 1600000 trials are too many for one benchmark (at most 1000000)");
	tear_down(&w);
}

/* The key is part of the data format: a change of it would orphan every earlier result. */
static void the_key_is_stable(void **state)
{
	struct world w;
	set_up(&w);
	add(&w, "x", "m", 1);
	assert_int_equal(make(&w, NULL, 0, NULL), 0);
	struct hash h;
	char want[HASH_HEX];
	hash_init(&h);
	hash_str(&h, w.task[0].hash);
	hash_str(&h, "");
	hash_str(&h, "a");
	hash_str(&h, "m");
	hash_str(&h, "0");
	hash_hex(&h, want);
	assert_string_equal(w.plan.trials[0].key, want);
	tear_down(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rollout_is_outermost),
		cmocka_unit_test(everything_lands_in_the_trial),
		cmocka_unit_test(the_sweep_makes_two_variants),
		cmocka_unit_test(labels_name_what_differs),
		cmocka_unit_test(the_same_twice_is_refused),
		cmocka_unit_test(only_and_limit),
		cmocka_unit_test(a_filter_keeps_labels),
		cmocka_unit_test(resume_appends),
		cmocka_unit_test(an_edit_is_a_variant),
		cmocka_unit_test(a_model_that_others_answer_is_a_variant),
		cmocka_unit_test(a_plan_has_a_size),
		cmocka_unit_test(the_key_is_stable),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
