/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What a Harbor task says of its own trials: how long, with what, and which network, for which the user is asked.
 */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "harbor/contract.h"
#include "rollout/inputs-internal.h"

/* Of what a task wants, where several have a say. */
enum wanted { WANTED_NOTHING, WANTED_NETWORK, WANTED_LIST }; /* more and more */

static enum wanted wants(const json_t *network)
{
	const char *mode = json_get_str(network, "mode", "");

	return !strcmp(mode, "public")	    ? WANTED_NETWORK
	       : !strcmp(mode, "allowlist") ? WANTED_LIST
					    : WANTED_NOTHING;
}

/* Whether any step of PHASE wants at least AT_LEAST. */
static bool any_wants(const json_t *harbor, const char *phase, enum wanted at_least)
{
	const json_t *step;
	size_t i;

	json_array_foreach (json_object_get(harbor, "steps"), i, step)
		if (wants(harbor_network(harbor, step, phase)) >= at_least)
			return true;
	return wants(harbor_network(harbor, NULL, phase)) >= at_least;
}

struct consent_state {
	int asked[2]; /* an enum consent for agent and verifier, once there was an answer */
	size_t denied[2];
};

static const char *const phases[] = {"agent", "verifier"};

static bool grant(struct consent_state *c, const struct config_request *req, size_t phase, int said)
{
	if (said == CONSENT_ASK) {
		if (c->asked[phase] == CONSENT_ASK && req->ask) {
			AUTO(free)
			char *question = xasprintf(
				"Harbor tasks of this run want a network for the %s. Grant it?",
				phases[phase]);
			c->asked[phase] = req->ask(question) ? CONSENT_ALLOW : CONSENT_DENY;
		}
		said = c->asked[phase];
	}
	if (said != CONSENT_ALLOW)
		c->denied[phase]++;
	return said == CONSENT_ALLOW;
}

static void settle_network(struct consent_state *c, const struct config_request *req,
			   struct bench_entry *e, const json_t *harbor)
{
	const int said = e->network ? CONSENT_ALLOW : e->task_network;
	const int tests = e->verifier_network == CONSENT_ASK ? said : e->verifier_network;

	e->network = any_wants(harbor, phases[0], WANTED_NETWORK) && grant(c, req, 0, said);
	e->eval_network = any_wants(harbor, phases[1], WANTED_NETWORK) && grant(c, req, 1, tests);
}

static void check_network(const struct inputs *in, const struct bench_entry *e,
			  const json_t *harbor, struct strv *problems)
{
	for (size_t p = 0; p < ARRAY_SIZE(phases); p++)
		if ((p ? e->eval_network : e->network) &&
		    any_wants(harbor, phases[p], WANTED_LIST)) {
			strv_pushf(problems,
				   "%s:%d:%d: \"%s\": lists of allowed hosts cannot be held here "
				   "yet: --network deny",
				   in->bench.config_path, e->line, e->col, e->prepared_dir);
			return;
		}
}

/* Without a network every agent would get the reward of tests that could not be run. Who denies it to verifiers by name knows. */
static void check_fetches(const struct bench_entry *e, const struct task *t, struct strv *problems)
{
	if (t->fetches && e->evaluate && !e->eval_network && !e->verifier_tools &&
	    e->verifier_network != CONSENT_DENY)
		strv_pushf(problems,
			   "%s/%s fetches what it verifies with, and verifiers have no network "
			   "(--verifier-network allow, or --verifier-tools DIR; with "
			   "--verifier-network deny it is tried all the same)",
			   e->prepared_dir, t->fetches);
}

static void settle_limits(struct bench_entry *e, const json_t *harbor)
{
	const json_t *env = json_object_get(harbor, "environment");
	const json_t *agent = json_object_get(harbor, "agent");
	const json_t *cpus = json_object_get(env, "cpus");

	if (!e->timeout_given)
		e->limits.timeout_ms = json_get_int(agent, "timeout_ms", 0);
	if (!e->memory_given)
		e->limits.memory_mb = json_get_int(env, "memory_mb", e->limits.memory_mb);
	if (!e->cpus_given && json_is_number(cpus))
		e->limits.cpus = json_number_value(cpus);
}

struct lookup {
	const struct kvs *env;
};

static const char *look_up(void *arg, const char *name)
{
	return kvs_get(((const struct lookup *)arg)->env, name);
}

/* A variable that a task wants and nobody names is missed before anything was paid for. */
static void check_variables(const struct bench_entry *e, const json_t *table, const char *where,
			    struct strv *problems)
{
	struct lookup l = {&e->env};
	const char *key, *missing = NULL;
	const json_t *v;
	size_t len = 0;

	json_object_foreach ((json_t *)table, key, v) {
		AUTO(free)
		char *value = harbor_expand(json_string_value(v), look_up, &l, &missing, &len);
		if (value)
			continue;
		AUTO(free) char *name = xstrndup(missing, len);
		strv_pushf(problems, "%s/task.toml: %s.%s wants the variable %s: %s",
			   e->prepared_dir, where, key, name,
			   kv_is_secret(name)
				   ? "it names a credential, which never enters a sandbox"
				   : "give it with --env NAME=VALUE or in environment_variables");
	}
}

static void check_all_variables(const struct bench_entry *e, const json_t *harbor,
				struct strv *problems)
{
	static const char *const tables[] = {"environment", "verifier", "solution"};
	const json_t *step;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(tables); k++)
		check_variables(e, json_object_get(json_object_get(harbor, tables[k]), "env"),
				tables[k], problems);
	json_array_foreach (json_object_get(harbor, "steps"), i, step)
		check_variables(e, json_object_get(json_object_get(step, "verifier"), "env"),
				"steps.verifier", problems);
}

/* What all tasks together say that nobody knows, in one line. */
static void note_unknown(struct inputs *in)
{
	AUTO(strv) struct strv keys = STRV_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	size_t tasks = 0;

	for (size_t i = 0; i < in->tasks_n; i++) {
		const struct strv *unknown = &in->tasks[i].task.unknown;
		tasks += unknown->n > 0;
		for (size_t k = 0; k < unknown->n; k++)
			if (!strv_has(&keys, unknown->v[k]))
				strv_push(&keys, unknown->v[k]);
	}
	for (size_t i = 0; i < keys.n && i < 12; i++)
		buf_addf(&text, "%s%s", i ? ", " : "", keys.v[i]);
	if (keys.n > 12)
		buf_addf(&text, " and %zu more", keys.n - 12);
	if (keys.n)
		strv_pushf(&in->plan.notes, "task.toml of %zu task%s: unknown keys are ignored: %s",
			   tasks, tasks == 1 ? "" : "s", text.data);
}

static void note_names(struct inputs *in)
{
	size_t n = 0;
	const char *first = NULL;

	for (size_t i = 0; i < in->tasks_n; i++) {
		const struct task *t = &in->tasks[i].task;
		for (size_t k = 0; t->harbor && k < t->notes.n; k++, n++)
			if (!first)
				first = t->notes.v[k];
	}
	if (n == 1)
		strv_push(&in->plan.notes, first);
	else if (n)
		strv_pushf(&in->plan.notes,
			   "%s (and %zu more remarks of tasks; all: rollouts "
			   "validate)",
			   first, n - 1);
}

void inputs_settle_harbor(struct inputs *in, const struct config_request *req,
			  struct strv *problems)
{
	struct consent_state c = {0};

	for (size_t i = 0; i < in->bench.entries_n; i++) {
		struct bench_entry *e = &in->bench.entries[i];
		const struct task *t = &in->tasks[in->entry_task[i]].task;
		AUTO(strv) struct strv lines = STRV_INIT;
		if (!t->harbor || e->refused)
			continue;
		if (e->sandbox != SANDBOX_AUTO && e->sandbox != SANDBOX_DOCKER &&
		    !(e->sandbox == SANDBOX_NONE && !e->evaluate))
			strv_pushf(problems,
				   "%s:%d:%d: \"%s\" is a Harbor task, which runs in a container: "
				   "sandbox = \"docker\"",
				   in->bench.config_path, e->line, e->col, e->prepared_dir);
		if (e->launcher && strcmp(e->launcher, "local") != 0)
			strv_pushf(problems,
				   "%s:%d:%d: \"%s\" is a Harbor task, which runs on this machine "
				   "alone: launcher = \"%s\" cannot bring its container, its "
				   "verifier's image and its artifacts along",
				   in->bench.config_path, e->line, e->col, e->prepared_dir,
				   e->launcher);
		settle_limits(e, t->harbor);
		settle_network(&c, req, e, t->harbor);
		check_network(in, e, t->harbor, &lines);
		check_all_variables(e, t->harbor, &lines);
		check_fetches(e, t, &lines);
		if (lines.n && !inputs_refuse(e, lines.v[0]))
			strv_pushv(problems, strv_items(&lines));
	}
	for (size_t p = 0; p < ARRAY_SIZE(phases); p++)
		if (c.denied[p])
			strv_pushf(&in->harbor_notes,
				   "%zu Harbor task%s would like a network for the %s and %s none "
				   "(--%s allow grants it)",
				   c.denied[p], c.denied[p] == 1 ? "" : "s", phases[p],
				   c.denied[p] == 1 ? "gets" : "get",
				   p ? "verifier-network" : "network");
}

void inputs_note_harbor(struct inputs *in)
{
	strv_pushv(&in->plan.notes, strv_items(&in->harbor_notes));
	note_names(in);
	note_unknown(in);
}
