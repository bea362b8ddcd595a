/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/label.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

#define TEXT 64

/* How a key's value reads in a label; two entries differ in the key when the texts do. */
struct facet {
	const char *key;
	void (*show)(const struct bench_entry *e, char out[TEXT]);
};

static void show_seconds(int64_t ms, char out[TEXT])
{
	snprintf(out, TEXT, "%.15g", (double)ms / 1000);
}

static void show_bool(bool b, char out[TEXT])
{
	snprintf(out, TEXT, "%s", b ? "true" : "false");
}

static void show_agent(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", e->agent);
}

/* TIMEOUT_SEC in the environment says the same in the user's own words. */
static void show_timeout(const struct bench_entry *e, char out[TEXT])
{
	if (!kvs_get(&e->env, "TIMEOUT_SEC"))
		show_seconds(e->limits.timeout_ms, out);
}

static void show_eval_timeout(const struct bench_entry *e, char out[TEXT])
{
	show_seconds(e->limits.eval_timeout_ms, out);
}

static void show_overrides(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", e->overrides ? path_base(e->overrides) : "");
}

static void show_apply(const struct bench_entry *e, char out[TEXT])
{
	show_bool(e->apply_overrides, out);
}

static void show_sandbox(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", sandbox_kind_name(e->sandbox));
}

static void show_workspace(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", workspace_kind_name(e->workspace));
}

static void show_network(const struct bench_entry *e, char out[TEXT])
{
	show_bool(e->network, out);
}

static void show_cpus(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.cpus > 0)
		snprintf(out, TEXT, "%.15g", e->limits.cpus);
}

static void show_memory(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.memory_mb)
		snprintf(out, TEXT, "%lld", (long long)e->limits.memory_mb);
}

static void show_disk(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%lld", (long long)e->limits.disk_mb);
}

static void show_diff(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%lld", (long long)e->limits.diff_mb);
}

static void show_evaluate(const struct bench_entry *e, char out[TEXT])
{
	show_bool(e->evaluate, out);
}

static void show_seed(const struct bench_entry *e, char out[TEXT])
{
	if (e->seed >= 0)
		snprintf(out, TEXT, "%lld", (long long)e->seed);
}

static void show_tokens(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.tokens)
		snprintf(out, TEXT, "%lld", (long long)e->limits.tokens);
}

static void show_cost(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.usd > 0)
		snprintf(out, TEXT, "%.15g", e->limits.usd);
}

static void show_calls(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.calls)
		snprintf(out, TEXT, "%lld", (long long)e->limits.calls);
}

static const struct facet facets[] = {
	{"agent", show_agent},
	{"timeout_sec", show_timeout},
	{"eval_timeout_sec", show_eval_timeout},
	{"overrides", show_overrides},
	{"apply_overrides", show_apply},
	{"sandbox", show_sandbox},
	{"workspace", show_workspace},
	{"network", show_network},
	{"cpus", show_cpus},
	{"memory_mb", show_memory},
	{"disk_mb", show_disk},
	{"diff_mb", show_diff},
	{"evaluate", show_evaluate},
	{"seed", show_seed},
	{"token_limit", show_tokens},
	{"cost_limit_usd", show_cost},
	{"call_limit", show_calls},
};

static bool share_model(const struct bench_entry *a, const struct bench_entry *b)
{
	for (size_t i = 0; i < a->models.n; i++)
		if (strv_has(&b->models, a->models.v[i]))
			return true;
	return false;
}

/* The entries that a label must tell apart from entry I, in PEERS. */
static size_t find_peers(const struct plan_input *in, size_t i, const struct bench_entry **peers)
{
	const struct bench *b = in->bench;
	size_t n = 0;
	for (size_t j = 0; j < b->entries_n; j++)
		if (j != i && strcmp(in->tasks[i]->dir, in->tasks[j]->dir) == 0 &&
		    share_model(&b->entries[i], &b->entries[j]))
			peers[n++] = &b->entries[j];
	return n;
}

static void add_part(struct buf *label, const char *key, const char *value)
{
	buf_adds(label, label->len ? " " : "");
	if (value)
		buf_addf(label, "%s=%s", key, value);
	else
		buf_addf(label, "no %s", key);
}

static void add_facets(struct buf *label, const struct bench_entry *e,
		       const struct bench_entry *const *peers, size_t n)
{
	for (size_t f = 0; f < ARRAY_SIZE(facets); f++) {
		char mine[TEXT] = "", theirs[TEXT];
		bool differs = false;
		facets[f].show(e, mine);
		for (size_t i = 0; i < n && !differs; i++) {
			*theirs = '\0';
			facets[f].show(peers[i], theirs);
			differs = strcmp(mine, theirs) != 0;
		}
		if (differs && (*mine || facets[f].show != show_timeout))
			add_part(label, facets[f].key, *mine ? mine : NULL);
	}
}

static bool env_differs(const char *key, const char *mine, const struct bench_entry *const *peers,
			size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *theirs = kvs_get(&peers[i]->env, key);
		if (!mine != !theirs || (mine && strcmp(mine, theirs) != 0))
			return true;
	}
	return false;
}

static void add_env(struct buf *label, const struct bench_entry *e,
		    const struct bench_entry *const *peers, size_t n)
{
	struct kvs all = KVS_INIT;
	kvs_copy(&all, &e->env);
	for (size_t i = 0; i < n; i++)
		kvs_copy(&all, &peers[i]->env);
	for (size_t i = 0; i < all.n; i++) {
		const char *key = all.v[i].key, *mine = kvs_get(&e->env, key);
		bool timed = strcmp(key, "TIMEOUT_SEC") == 0;
		if (env_differs(key, mine, peers, n) && (mine || !timed))
			add_part(label, key, mine);
	}
	kvs_release(&all);
}

static char *make_label(const struct plan_input *in, size_t i, const struct bench_entry **peers)
{
	struct buf label = BUF_INIT;
	const struct bench_entry *e = &in->bench->entries[i];
	size_t n = find_peers(in, i, peers);
	if (n) {
		add_env(&label, e, peers, n);
		add_facets(&label, e, peers, n);
	}
	return buf_detach(&label);
}

static bool same_env(const struct kvs *a, const struct kvs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const char *other = kvs_get(b, a->v[i].key);
		if (!other || strcmp(other, a->v[i].value) != 0)
			return false;
	}
	return true;
}

static bool same_limits(const struct limits *a, const struct limits *b)
{
	return a->timeout_ms == b->timeout_ms && a->eval_timeout_ms == b->eval_timeout_ms &&
	       a->cpus == b->cpus && a->memory_mb == b->memory_mb && a->disk_mb == b->disk_mb &&
	       a->diff_mb == b->diff_mb && a->tokens == b->tokens && a->usd == b->usd &&
	       a->calls == b->calls;
}

/* The settings that make a variant; its sandbox was resolved when it was planned. */
static bool is_variant(const struct bench_entry *e, const struct trial *t)
{
	return (strcmp(e->agent, "auto") == 0 || strcmp(e->agent, t->agent) == 0) &&
	       strv_has(&e->models, t->model) && same_env(&e->env, &t->env) &&
	       same_limits(&e->limits, &t->limits) &&
	       (e->sandbox == SANDBOX_AUTO || e->sandbox == t->sandbox) &&
	       e->workspace == t->workspace && e->network == t->network &&
	       e->evaluate == t->evaluate &&
	       (e->seed < 0 ? t->seed < 0 : t->seed == e->seed + t->rollout);
}

static const char *earlier_label(const struct plan_input *in, size_t i)
{
	for (size_t j = 0; j < in->old_n; j++)
		if (strcmp(in->old[j].task_hash, in->tasks[i]->hash) == 0 &&
		    is_variant(&in->bench->entries[i], &in->old[j]))
			return in->old[j].variant;
	return NULL;
}

char **plan_labels(const struct plan_input *in)
{
	size_t n = in->bench->entries_n;
	char **labels = xcalloc(n ? n : 1, sizeof *labels);
	AUTO(free) const struct bench_entry **peers = xcalloc(n ? n : 1, sizeof *peers);
	for (size_t i = 0; i < n; i++) {
		const char *given = in->bench->entries[i].label;
		if (!given)
			given = earlier_label(in, i);
		labels[i] = given ? xstrdup(given) : make_label(in, i, peers);
	}
	return labels;
}
