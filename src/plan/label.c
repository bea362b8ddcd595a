/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/label.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/roles.h"

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

static void show_wall_timeout(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.wall_ms)
		show_seconds(e->limits.wall_ms, out);
}

static void show_eval_timeout(const struct bench_entry *e, char out[TEXT])
{
	show_seconds(e->limits.eval_timeout_ms, out);
}

static void show_eval_total(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.eval_total_ms)
		show_seconds(e->limits.eval_total_ms, out);
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

static void show_disk_files(const struct bench_entry *e, char out[TEXT])
{
	if (e->limits.disk_files)
		snprintf(out, TEXT, "%lld", (long long)e->limits.disk_files);
}

static void show_diff(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%lld", (long long)e->limits.diff_mb);
}

static void show_evaluate(const struct bench_entry *e, char out[TEXT])
{
	show_bool(e->evaluate, out);
}

static void show_scoring(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", e->scoring == SCORING_STRICT ? "strict" : "scored");
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

static void show_effort(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", e->options.effort);
}

static void show_thinking(const struct bench_entry *e, char out[TEXT])
{
	snprintf(out, TEXT, "%s", e->options.thinking);
}

static void show_temperature(const struct bench_entry *e, char out[TEXT])
{
	if (e->options.temperature >= 0)
		snprintf(out, TEXT, "%.15g", e->options.temperature);
}

static void show_top_p(const struct bench_entry *e, char out[TEXT])
{
	if (e->options.top_p >= 0)
		snprintf(out, TEXT, "%.15g", e->options.top_p);
}

static void show_model_seed(const struct bench_entry *e, char out[TEXT])
{
	if (e->options.seed >= 0)
		snprintf(out, TEXT, "%lld", (long long)e->options.seed);
}

static void show_max_output(const struct bench_entry *e, char out[TEXT])
{
	if (e->options.max_output_tokens)
		snprintf(out, TEXT, "%lld", (long long)e->options.max_output_tokens);
}

static void show_roles(const struct bench_entry *e, char out[TEXT])
{
	AUTO(buf) struct buf text = BUF_INIT;

	roles_text(&text, e->roles);
	snprintf(out, TEXT, "%s", text.len ? text.data : "");
}

static const struct facet facets[] = {
	{"agent", show_agent},
	{"roles", show_roles},
	{"effort", show_effort},
	{"thinking", show_thinking},
	{"temperature", show_temperature},
	{"top_p", show_top_p},
	{"model_options.seed", show_model_seed},
	{"max_output_tokens", show_max_output},
	{"timeout_sec", show_timeout},
	{"wall_timeout_sec", show_wall_timeout},
	{"eval_timeout_sec", show_eval_timeout},
	{"eval_total_timeout_sec", show_eval_total},
	{"overrides", show_overrides},
	{"apply_overrides", show_apply},
	{"sandbox", show_sandbox},
	{"workspace", show_workspace},
	{"network", show_network},
	{"cpus", show_cpus},
	{"memory_mb", show_memory},
	{"disk_mb", show_disk},
	{"disk_files", show_disk_files},
	{"diff_mb", show_diff},
	{"evaluate", show_evaluate},
	{"scoring", show_scoring},
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

static bool same_limits(const struct limits *a, const struct limits *b)
{
	return a->timeout_ms == b->timeout_ms && a->wall_ms == b->wall_ms &&
	       a->eval_timeout_ms == b->eval_timeout_ms && a->eval_total_ms == b->eval_total_ms &&
	       a->cpus == b->cpus && a->memory_mb == b->memory_mb && a->disk_mb == b->disk_mb &&
	       a->disk_files == b->disk_files && a->diff_mb == b->diff_mb &&
	       a->tokens == b->tokens && a->usd == b->usd && a->calls == b->calls;
}

/* The settings of E are those that T was planned with; its sandbox was resolved then. */
static bool same_settings(const struct bench_entry *e, const struct trial *t)
{
	return kvs_equal(&e->env, &t->env) && model_options_equal(&e->options, &t->options) &&
	       roles_equal(e->roles, t->roles) && same_limits(&e->limits, &t->limits) &&
	       (e->sandbox == SANDBOX_AUTO || e->sandbox == t->sandbox) &&
	       e->workspace == t->workspace && e->network == t->network &&
	       e->evaluate == t->evaluate && (e->scoring == SCORING_STRICT) == t->strict &&
	       (e->seed < 0 ? t->seed < 0 : t->seed == e->seed + t->rollout);
}

static bool is_variant(const struct bench_entry *e, const struct trial *t)
{
	return (strcmp(e->agent, "auto") == 0 || strcmp(e->agent, t->agent) == 0) &&
	       strv_has(&e->models, t->model) && same_settings(e, t);
}

static int by_task(const void *a, const void *b)
{
	const struct trial *const *x = a, *const *y = b;
	int order = strcmp((*x)->task_hash, (*y)->task_hash);
	return order ? order : (*x)->index - (*y)->index;
}

void plan_earlier_make(struct plan_earlier *out, const struct plan_input *in)
{
	*out = (struct plan_earlier){xcalloc(in->old_n + 1, sizeof(*out->v)), in->old_n};
	for (size_t i = 0; i < in->old_n; i++)
		out->v[i] = &in->old[i];
	qsort(out->v, out->n, sizeof(*out->v), by_task);
}

void plan_earlier_release(struct plan_earlier *e)
{
	free(e->v);
}

/* The first that is not below HASH, or with ABOVE the first that is above it. */
static size_t bound(const struct plan_earlier *e, const char *hash, bool above)
{
	size_t low = 0, high = e->n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(e->v[middle]->task_hash, hash);
		if (order < 0 || (above && order == 0))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct trial *const *plan_earlier_of(const struct plan_earlier *e, const char *task_hash,
					   size_t *n)
{
	size_t first = bound(e, task_hash, false);
	*n = bound(e, task_hash, true) - first;
	return e->v + first;
}

static const char *earlier_label(const struct plan_input *in, const struct plan_earlier *old,
				 size_t i)
{
	size_t n;
	const struct trial *const *t = plan_earlier_of(old, in->tasks[i]->hash, &n);
	for (size_t j = 0; j < n; j++)
		if (is_variant(&in->bench->entries[i], t[j]))
			return t[j]->variant;
	return NULL;
}

char **plan_labels(const struct plan_input *in, const struct plan_earlier *old)
{
	size_t n = in->bench->entries_n;
	char **labels = xcalloc(n ? n : 1, sizeof *labels);
	AUTO(free) const struct bench_entry **peers = xcalloc(n ? n : 1, sizeof *peers);
	for (size_t i = 0; i < n; i++) {
		const char *given = in->bench->entries[i].label;
		if (!given)
			given = earlier_label(in, old, i);
		labels[i] = given ? xstrdup(given) : make_label(in, i, peers);
	}
	return labels;
}

/* One condition of the file beside what was planned earlier for the same task, model and agent. */
struct comparison {
	const struct bench_entry *entry;
	const struct plan_route *route;
	struct bench_entry *settings; /* those of earlier trials that are others; they borrow */
	const struct trial **earlier; /* a trial of each */
	size_t n, cap, earlier_cap;
};

static bool same_model(const struct plan_route *r, const struct trial *t)
{
	return strcmp(r->provider, t->provider) == 0 && strcmp(r->model_id, t->model_id) == 0;
}

static bool is_the_same(const struct comparison *c, const struct trial *t)
{
	return same_settings(c->entry, t) && same_model(c->route, t);
}

/* Overrides are in the task's hash, which is the same. */
static struct bench_entry settings_of(const struct trial *t, const struct bench_entry *like)
{
	return (struct bench_entry){
		.agent = like->agent,
		.apply_overrides = like->apply_overrides,
		.overrides = like->overrides,
		.env = t->env,
		.sandbox = t->sandbox,
		.workspace = t->workspace,
		.network = t->network,
		.limits = t->limits,
		.evaluate = t->evaluate,
		.scoring = t->strict ? SCORING_STRICT : SCORING_SCORED,
		.seed = t->seed < 0 ? -1 : t->seed - t->rollout,
		.options = t->options,
		.roles = t->roles,
	};
}

static void add_earlier(struct comparison *c, const struct trial *t)
{
	const struct plan_route route = {t->provider, t->api, t->model_id};
	for (size_t i = 0; i < c->n; i++)
		if (same_settings(&c->settings[i], t) && same_model(&route, c->earlier[i]) &&
		    strcmp(c->earlier[i]->variant, t->variant) == 0)
			return;
	size_t n = c->n;
	GROW(c->settings, n, c->cap);
	GROW(c->earlier, n, c->earlier_cap);
	c->settings[c->n] = settings_of(t, c->entry);
	c->earlier[c->n++] = t;
}

static bool begins_with(const char *variant, const char *label)
{
	size_t n = strlen(label);
	return strncmp(variant, label, n) == 0 && (!n || !variant[n] || variant[n] == ' ');
}

static bool is_taken(const struct comparison *c, const char *variant)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->earlier[i]->variant, variant) == 0)
			return true;
	return false;
}

static void add_model(struct buf *out, const struct comparison *c)
{
	bool provider = false, id = false;
	for (size_t i = 0; i < c->n; i++) {
		provider = provider || strcmp(c->route->provider, c->earlier[i]->provider) != 0;
		id = id || strcmp(c->route->model_id, c->earlier[i]->model_id) != 0;
	}
	if (provider)
		add_part(out, "provider", *c->route->provider ? c->route->provider : NULL);
	if (id)
		add_part(out, "model_id", c->route->model_id);
}

static char *tell_apart(const struct comparison *c, const char *label)
{
	struct buf out = BUF_INIT;
	AUTO(free) const struct bench_entry **peers = xcalloc(c->n, sizeof(*peers));
	for (size_t i = 0; i < c->n; i++)
		peers[i] = &c->settings[i];
	/* The entry's sandbox as it will be planned. */
	struct bench_entry mine = *c->entry;
	if (mine.sandbox == SANDBOX_AUTO)
		mine.sandbox = SANDBOX_LOCAL;
	buf_adds(&out, label);
	add_env(&out, &mine, peers, c->n);
	add_facets(&out, &mine, peers, c->n);
	add_model(&out, c);
	/* Values that differ only beyond what a label shows. */
	size_t len = out.len;
	for (int i = 2; is_taken(c, out.data); i++) {
		out.len = len;
		buf_addf(&out, " (%d)", i);
	}
	return buf_detach(&out);
}

char *plan_variant(const struct plan_input *in, const struct plan_earlier *old, size_t entry,
		   size_t model, const struct plan_route *route, const char *label)
{
	const struct bench_entry *e = &in->bench->entries[entry];
	struct comparison c = {.entry = e, .route = route};
	const char *same = NULL;
	size_t n;
	const struct trial *const *of_task = plan_earlier_of(old, in->tasks[entry]->hash, &n);
	for (size_t i = 0; i < n && !same; i++) {
		const struct trial *t = of_task[i];
		if (strcmp(t->model, e->models.v[model]) != 0 ||
		    strcmp(t->agent, in->agents[entry][model]) != 0 ||
		    !begins_with(t->variant, label))
			continue;
		if (is_the_same(&c, t))
			same = t->variant;
		else
			add_earlier(&c, t);
	}
	char *variant =
		same || !is_taken(&c, label) ? xstrdup(same ? same : label) : tell_apart(&c, label);
	free(c.settings);
	free(c.earlier);
	return variant;
}
