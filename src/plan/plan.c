/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan/plan.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/roles.h"
#include "plan/label.h"

#define TRIALS_MAX 1000000

/* A trial's key and the entry that made it (SIZE_MAX: planned earlier), in a hash table. */
struct slot {
	char *key;
	size_t entry;
};

struct planner {
	const struct plan_input *in;
	struct plan *plan;
	struct plan_earlier old;
	char ***variants;   /* variants[entry][model] */
	bool *chosen;	    /* entries that --only and --exclude leave in */
	bool *reported;	    /* entries whose collision was told */
	json_t *last_of_id; /* task id -> the last entry looked at by check_ids, plus one */
	size_t *before;	    /* entry -> the one of its id before it, plus one; 0: none */
	struct slot *slots;
	size_t mask;
	int next_index;
	struct strv *issues;
};

static char *folder_name(const char *dir)
{
	const char *end = dir + strlen(dir);
	while (end > dir && end[-1] == '/')
		end--;
	const char *start = end;
	while (start > dir && start[-1] != '/')
		start--;
	return xstrndup(start, (size_t)(end - start));
}

/* A difficulty is a tag, too. */
static bool has_tag(const struct task *t, const char *glob)
{
	json_t *tag;
	if (t->difficulty && text_glob(glob, t->difficulty))
		return true;
	size_t i;
	json_array_foreach (t->tags, i, tag)
		if (json_is_string(tag) && text_glob(glob, json_string_value(tag)))
			return true;
	return false;
}

static bool matches(const char *pattern, const struct bench_entry *e, const struct task *t)
{
	static const char tag[] = "tag:", difficulty[] = "difficulty:";
	if (strncmp(pattern, tag, sizeof tag - 1) == 0)
		return has_tag(t, pattern + sizeof tag - 1);
	if (strncmp(pattern, difficulty, sizeof difficulty - 1) == 0)
		return t->difficulty && text_glob(pattern + sizeof difficulty - 1, t->difficulty);
	AUTO(free) char *folder = folder_name(e->prepared_dir);
	return text_glob(pattern, t->id) || text_glob(pattern, folder) ||
	       text_glob(pattern, e->prepared_dir);
}

static bool is_named(const char *name, const struct bench_entry *e, const struct task *t)
{
	AUTO(free) char *folder = folder_name(e->prepared_dir);
	return strcmp(name, t->id) == 0 || strcmp(name, folder) == 0 ||
	       strcmp(name, e->prepared_dir) == 0;
}

/* TABLE: a [[tasks]] table, or -1: all of them. */
static bool is_in(const struct bench_entry *e, int table)
{
	return table < 0 || e->table == table;
}

/* Set MATCHED of the entries of TABLE that one of PATTERNS means. What is somebody's name is not a pattern: "app[1]" does not mean
 * app1 where there is an app[1]. */
static void match_entries(const struct plan_input *in, const struct strv *patterns, int table,
			  bool *matched)
{
	const struct bench *b = in->bench;
	for (size_t k = 0; patterns && k < patterns->n; k++) {
		bool named = false;
		for (size_t i = 0; i < b->entries_n; i++)
			if (is_in(&b->entries[i], table) &&
			    is_named(patterns->v[k], &b->entries[i], in->tasks[i]))
				named = matched[i] = true;
		for (size_t i = 0; !named && i < b->entries_n; i++)
			matched[i] |= is_in(&b->entries[i], table) &&
				      matches(patterns->v[k], &b->entries[i], in->tasks[i]);
	}
}

/* `only` and `exclude` of the entries' own tables, which each of its entries has. */
static void choose_in_tables(struct planner *p)
{
	const struct bench *b = p->in->bench;
	AUTO(free) bool *only = xcalloc(b->entries_n + 1, sizeof *only);
	AUTO(free) bool *excluded = xcalloc(b->entries_n + 1, sizeof *excluded);
	for (size_t i = 0; i < b->entries_n; i++) {
		const struct bench_entry *e = &b->entries[i];
		if (i && e->table == b->entries[i - 1].table)
			continue;
		match_entries(p->in, &e->only, e->table, only);
		match_entries(p->in, &e->exclude, e->table, excluded);
	}
	for (size_t i = 0; i < b->entries_n; i++)
		p->chosen[i] &= (only[i] || !b->entries[i].only.n) && !excluded[i];
}

struct drawn {
	const char *hash;     /* of a task */
	char order[HASH_HEX]; /* where it is in the draw: of the seed and its name alone */
};

static int by_order(const void *a, const void *b)
{
	return strcmp(((const struct drawn *)a)->order, ((const struct drawn *)b)->order);
}

static bool is_drawn(const struct drawn *v, size_t n, const char *hash)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].hash, hash))
			return true;
	return false;
}

/* So many tasks of those that are chosen, the same ones for the same seed, whichever others there are. */
static void draw(struct planner *p)
{
	const struct plan_input *in = p->in;
	const size_t all = in->bench->entries_n;
	AUTO(free) struct drawn *v = xcalloc(all + 1, sizeof *v);
	size_t n = 0;

	for (size_t i = 0; in->sample && i < all; i++) {
		const struct task *t = in->tasks[i];
		if (!p->chosen[i] || is_drawn(v, n, t->hash))
			continue;
		AUTO(free) char *text = xasprintf("%lld %s", (long long)in->sample_seed, t->id);
		v[n].hash = t->hash;
		hash_once(text, strlen(text), v[n++].order);
	}
	qsort(v, n, sizeof *v, by_order);
	if ((int64_t)n > in->sample)
		n = (size_t)in->sample;
	for (size_t i = 0; in->sample && i < all; i++)
		p->chosen[i] &= is_drawn(v, n, in->tasks[i]->hash);
}

static void choose(struct planner *p)
{
	const struct plan_input *in = p->in;
	const size_t n = in->bench->entries_n;
	AUTO(free) bool *excluded = xcalloc(n + 1, sizeof *excluded);
	match_entries(in, in->only, -1, p->chosen);
	match_entries(in, in->exclude, -1, excluded);
	for (size_t i = 0; i < n; i++)
		p->chosen[i] = (p->chosen[i] || !in->only || !in->only->n) && !excluded[i];
	choose_in_tables(p);
	draw(p);
}

static void make_key(char out[HASH_HEX], const char *task_hash, const char *variant,
		     const char *agent, const char *model, int rollout,
		     const struct model_options *options, const json_t *roles, const char *tools)
{
	struct hash h;
	char number[16];
	snprintf(number, sizeof number, "%d", rollout);
	hash_init(&h);
	hash_str(&h, task_hash);
	hash_str(&h, variant);
	hash_str(&h, agent);
	hash_str(&h, model);
	hash_str(&h, number);
	if (model_options_any(options)) {
		AUTO(json) json_t *j = model_options_to_json(options);
		AUTO(buf) struct buf text = BUF_INIT;
		json_format(&text, j, false);
		hash_str(&h, text.data);
	}
	if (json_object_size(roles)) {
		AUTO(buf) struct buf text = BUF_INIT;
		roles_text(&text, roles);
		hash_str(&h, text.data);
	}
	if (tools)
		hash_str(&h, tools);
	hash_hex(&h, out);
}

/* The slot of KEY: an empty one when it is new. The digest is random enough to be its own hash. */
static struct slot *find_slot(const struct planner *p, const char *key)
{
	char head[9] = {0};
	memcpy(head, key, 8);
	size_t i = strtoul(head, NULL, 16) & p->mask;
	while (p->slots[i].key && strcmp(p->slots[i].key, key) != 0)
		i = (i + 1) & p->mask;
	return &p->slots[i];
}

static void report(struct planner *p, size_t entry, size_t first, const char *model)
{
	const struct bench *b = p->in->bench;
	const struct bench_entry *e = &b->entries[entry], *f = &b->entries[first];
	if (p->reported[entry])
		return;
	p->reported[entry] = true;
	if (strcmp(e->task_path, f->task_path) != 0)
		strv_pushf(p->issues,
			   "%s:%d:%d: \"%s\" holds the same task as \"%s\" (line %d): leave one of "
			   "them out",
			   b->config_path, e->line, e->col, e->prepared_dir, f->prepared_dir,
			   f->line);
	else
		strv_pushf(p->issues,
			   "%s:%d:%d: this [[tasks]] makes the same trials as the one at line %d "
			   "(task %s%s%s): raise rollouts in one of them, or give each a label of "
			   "its own",
			   b->config_path, e->line, e->col, f->line, p->in->tasks[entry]->id,
			   *model ? ", model " : "", model);
}

static enum sandbox_kind resolve_sandbox(enum sandbox_kind k)
{
	return k == SANDBOX_AUTO ? SANDBOX_LOCAL : k;
}

/* The M-th model of an entry with one agent and one number. */
struct choice {
	size_t entry, m;
	int rollout;
};

static struct plan_route route_of(const struct planner *p, const struct choice *c)
{
	const struct plan_route *routes = p->in->routes ? p->in->routes[c->entry] : NULL;
	const char *model = p->in->bench->entries[c->entry].models.v[c->m];
	if (routes && routes[c->m].model_id)
		return routes[c->m];
	return (struct plan_route){"", "", model, p->in->bench->entries[c->entry].roles};
}

/* A path of this machine has no business in what travels: two repositories are told apart all the same. */
static char *repository_name(const char *url)
{
	enum { DIGITS = 8 };
	char digest[HASH_HEX];

	if (!url || *url != '/')
		return xstrdup(url ? url : "");
	AUTO(free) char *folder = folder_name(url);
	hash_once(url, strlen(url), digest);
	return xasprintf("%s#%.*s", folder, DIGITS, digest);
}

/* The rubrics that are a judge's to score, were there one. */
static int count_judged(const struct task *t, const struct judge *j)
{
	int n = 0;

	for (size_t i = 0; i < t->steps_n; i++)
		for (size_t k = 0; k < t->steps[i].rubrics_n; k++)
			n += j->only == JUDGE_ALL ||
			     !task_step_tests(&t->steps[i], t->steps[i].rubrics[k].id);
	return n;
}

static void add_trial(struct planner *p, const struct choice *c, const char *key)
{
	const size_t entry = c->entry;
	const int rollout = c->rollout;
	const struct plan_route found = route_of(p, c), *route = &found;
	const struct bench_entry *e = &p->in->bench->entries[entry];
	const struct task *task = p->in->tasks[entry];
	struct plan *plan = p->plan;
	GROW(plan->trials, plan->n, plan->cap);
	struct trial *t = &plan->trials[plan->n++];
	*t = (struct trial){
		.index = p->next_index++,
		.task_dir = xstrdup(e->prepared_dir),
		.task_id = xstrdup(task->id),
		.task_hash = xstrdup(task->hash),
		.repository = repository_name(task->repo.git_url),
		.cluster = xstrdup(task->cluster ? task->cluster : ""),
		.tags = STRV_INIT,
		.judged = count_judged(task, &p->in->bench->judge),
		.planned_hash = xstrdup(""),
		.variant = xstrdup(p->variants[entry][c->m]),
		.agent = xstrdup(p->in->agents[entry][c->m]),
		.model = xstrdup(e->models.v[c->m]),
		.provider = xstrdup(route->provider),
		.api = xstrdup(route->api),
		.model_id = xstrdup(route->model_id),
		.rollout = rollout,
		.seed = e->seed < 0 ? -1 : e->seed + rollout,
		.options = e->options,
		.roles = json_incref(route->roles),
		.sandbox = resolve_sandbox(e->sandbox),
		.image = xstrdup(e->image && e->sandbox == SANDBOX_DOCKER ? e->image : ""),
		.image_id = xstrdup(""),
		.repo_path = xstrdup(""),
		.workspace = e->workspace,
		.launcher = xstrdup(e->launcher),
		.network = e->network,
		.eval_network = e->eval_network,
		.reward = xstrdup(e->reward ? e->reward : ""),
		.verifier_images = xstrdup(e->verifier_images ? e->verifier_images : ""),
		.contract = xstrdup(task->harbor ? "harbor" : ""),
		.limits = e->limits,
		.retries = e->retries,
		.evaluate = e->evaluate,
		.strict = e->scoring == SCORING_STRICT,
		.eval_retries = e->eval_retries,
		.verifier_tools =
			xstrdup(task->harbor && e->verifier_tools ? e->verifier_tools : ""),
		.refused = xstrdup(e->refused ? e->refused : ""),
	};
	memcpy(t->key, key, HASH_HEX);
	kvs_copy(&t->env, &e->env);
	json_t *tag;
	size_t i;
	json_array_foreach (task->tags, i, tag)
		if (json_is_string(tag))
			strv_push(&t->tags, json_string_value(tag));
}

static void plan_one(struct planner *p, size_t entry, size_t m, int rollout)
{
	const char *model = p->in->bench->entries[entry].models.v[m];
	const char *agent = p->in->agents[entry][m];
	char key[HASH_HEX];
	make_key(key, p->in->tasks[entry]->hash, p->variants[entry][m], agent, model, rollout,
		 &p->in->bench->entries[entry].options, p->in->bench->entries[entry].roles,
		 p->in->tools);
	struct slot *slot = find_slot(p, key);
	if (slot->key && slot->entry == SIZE_MAX)
		return;
	if (slot->key) {
		report(p, entry, slot->entry, model);
		return;
	}
	*slot = (struct slot){xstrdup(key), entry};
	if (p->chosen[entry] && (!p->in->limit || (int64_t)p->plan->n < p->in->limit))
		add_trial(p, &(struct choice){entry, m, rollout}, key);
}

/* Rollout outermost: after the first round every task and model has a number. */
static void plan_all(struct planner *p)
{
	const struct bench *b = p->in->bench;
	int rounds = 0;
	for (size_t i = 0; i < b->entries_n; i++)
		if (b->entries[i].rollouts > rounds)
			rounds = b->entries[i].rollouts;
	for (int r = 0; r < rounds; r++)
		for (size_t i = 0; i < b->entries_n; i++)
			for (size_t m = 0; r < b->entries[i].rollouts && m < b->entries[i].models.n;
			     m++)
				plan_one(p, i, m, r);
}

/* Keys to be kept. */
static size_t count_keys(const struct plan_input *in)
{
	size_t n = 2 * in->old_n; /* keys; one that was moved has two */
	for (size_t i = 0; i < in->bench->entries_n; i++)
		n += (size_t)in->bench->entries[i].rollouts * in->bench->entries[i].models.n;
	return n;
}

static int check_size(const struct plan_input *in, struct strv *issues, struct err *err)
{
	size_t n = count_keys(in) - in->old_n;
	if (n <= TRIALS_MAX)
		return 0;
	strv_pushf(issues, "%s: %zu trials are too many for one benchmark (at most %d)",
		   in->bench->config_path, n, TRIALS_MAX);
	return err_set(err, ERR_USAGE, 0, "too many trials");
}

static void remember(struct planner *p, const char *key)
{
	struct slot *slot = find_slot(p, key);
	if (!slot->key)
		*slot = (struct slot){xstrdup(key), SIZE_MAX};
}

static void remember_old(struct planner *p)
{
	for (size_t i = 0; i < p->in->old_n; i++) {
		const struct trial *t = &p->in->old[i];
		char key[HASH_HEX];
		remember(p, t->key);
		/* Moved to a changed task, it keeps the key that its journal knows. */
		if (trial_is_moved(t)) {
			make_key(key, t->task_hash, t->variant, t->agent, t->model, t->rollout,
				 &t->options, t->roles, p->in->tools);
			remember(p, key);
		}
		if (t->index >= p->next_index)
			p->next_index = t->index + 1;
	}
}

static bool same_name(const char *dir, const char *other)
{
	AUTO(free) char *mine = folder_name(dir), *theirs = folder_name(other);
	return strcmp(mine, theirs) == 0;
}

/* What people tell a task by in every table. */
static bool same_folder(const struct bench_entry *e, const struct task *task, const struct trial *t)
{
	return strcmp(task->id, t->task_id) == 0 && same_name(e->prepared_dir, t->task_dir);
}

/* An entry that gives a task its own overrides may add a row to those of the task as it was. */
static bool has_own_overrides(const struct planner *p, size_t entry, const struct trial *t)
{
	const struct bench_entry *e = &p->in->bench->entries[entry];
	for (size_t m = 0; m < e->models.n; m++)
		if (!e->overrides || strcmp(p->variants[entry][m], t->variant) == 0)
			return false;
	return true;
}

/* A changed task is another task: in one row its trials would be averaged with those of the old one. */
static void check_changed(struct planner *p, size_t entry)
{
	const struct plan_input *in = p->in;
	const struct bench_entry *e = &in->bench->entries[entry];
	const struct task *task = in->tasks[entry];
	const struct trial *was = NULL, *last = NULL;
	size_t n;
	plan_earlier_of(&p->old, task->hash, &n);
	if (n)
		return;
	for (size_t i = 0; i < p->old.n && !was; i++) {
		const struct trial *t = p->old.v[i];
		/* Those of one row lie together. */
		bool known = last && !strcmp(t->task_hash, last->task_hash) &&
			     !strcmp(t->task_dir, last->task_dir) &&
			     !strcmp(t->variant, last->variant);
		last = t;
		if (!known && same_folder(e, task, t) && !has_own_overrides(p, entry, t))
			was = t;
	}
	if (was)
		strv_pushf(p->issues,
			   "%s:%d:%d: task \"%s\" (%s) is not what it was when its trials here "
			   "were planned "
			   "(hash %.8s then, %.8s now): take the change back, grade those trials "
			   "with the "
			   "changed tests too (`rollouts resume --regrade`), or start anew with "
			   "`rollouts run`",
			   in->bench->config_path, e->line, e->col, task->id, e->prepared_dir,
			   was->task_hash, task->hash);
}

static bool share_trials(const struct planner *p, size_t i, size_t k)
{
	const struct bench *b = p->in->bench;
	for (size_t m = 0; m < b->entries[i].models.n; m++)
		for (size_t o = 0; o < b->entries[k].models.n; o++)
			if (!strcmp(b->entries[i].models.v[m], b->entries[k].models.v[o]) &&
			    !strcmp(p->variants[i][m], p->variants[k][o]) &&
			    !strcmp(p->in->agents[i][m], p->in->agents[k][o]))
				return true;
	return false;
}

/* Whoever reads a table knows a task by its id and the name of its folder: two of one name would be averaged, or
 * compared, as one. In one folder they are a task with different overrides, and must differ in a label. */
static void check_ids(struct planner *p, size_t entry)
{
	const struct bench *b = p->in->bench;
	const struct bench_entry *e = &b->entries[entry], *f;
	const struct task *task = p->in->tasks[entry];
	p->before[entry] = (size_t)json_integer_value(json_object_get(p->last_of_id, task->id));
	json_object_set_new_nocheck(p->last_of_id, task->id, json_integer((json_int_t)entry + 1));
	for (size_t next = p->before[entry]; next && !p->reported[entry];) {
		size_t i = next - 1;
		next = p->before[i];
		f = &b->entries[i];
		bool elsewhere = strcmp(e->task_path, f->task_path) != 0;
		if (p->in->tasks[i] == task || strcmp(p->in->tasks[i]->hash, task->hash) == 0 ||
		    (elsewhere ? !same_name(e->prepared_dir, f->prepared_dir)
			       : !share_trials(p, i, entry)))
			continue;
		p->reported[entry] = true;
		if (elsewhere)
			strv_pushf(
				p->issues,
				"%s:%d:%d: \"%s\" is another task than \"%s\" (line %d) of the "
				"same "
				"name and task_id, \"%s\": their results could not be told apart; "
				"rename the folder or change the task_id in one tb_meta.json",
				b->config_path, e->line, e->col, e->prepared_dir, f->prepared_dir,
				f->line, task->id);
		else
			strv_pushf(
				p->issues,
				"%s:%d:%d: task \"%s\" is another one here than at line %d, by its "
				"overrides, under the same label \"%s\": give each a label of its "
				"own",
				b->config_path, e->line, e->col, task->id, f->line,
				p->variants[entry][0]);
	}
}

static void find_variants(struct planner *p)
{
	const struct bench *b = p->in->bench;
	char **labels = plan_labels(p->in, &p->old);
	p->variants = xcalloc(b->entries_n + 1, sizeof *p->variants);
	for (size_t i = 0; i < b->entries_n; i++) {
		const struct strv *models = &b->entries[i].models;
		p->variants[i] = xcalloc(models->n + 1, sizeof **p->variants);
		for (size_t m = 0; m < models->n; m++) {
			const struct plan_route route = route_of(p, &(struct choice){i, m, 0});
			char *variant = plan_variant(p->in, &p->old, i, m, &route, labels[i]);
			AUTO(free) char *note = xasprintf(
				"settings changed since the trials that are there: those of the "
				"file are the variant \"%s\"",
				variant);
			if (strcmp(variant, labels[i]) != 0 && p->chosen[i] &&
			    !strv_has(&p->plan->notes, note))
				strv_push(&p->plan->notes, note);
			p->variants[i][m] = variant;
		}
		free(labels[i]);
	}
	free(labels);
}

static void start(struct planner *p)
{
	size_t entries = p->in->bench->entries_n + 1, size = 16;
	while (size < count_keys(p->in) * 2)
		size *= 2;
	p->slots = xcalloc(size, sizeof *p->slots);
	p->mask = size - 1;
	p->chosen = xcalloc(entries, sizeof *p->chosen);
	p->reported = xcalloc(entries, sizeof *p->reported);
	p->before = xcalloc(entries, sizeof *p->before);
	p->last_of_id = json_object();
	plan_earlier_make(&p->old, p->in);
	choose(p);
	find_variants(p);
	for (size_t i = 0; i + 1 < entries; i++)
		if (p->chosen[i]) {
			check_changed(p, i);
			check_ids(p, i);
		}
	remember_old(p);
}

static void finish(struct planner *p)
{
	for (size_t i = 0; i <= p->mask; i++)
		free(p->slots[i].key);
	for (size_t i = 0; i < p->in->bench->entries_n; i++) {
		for (char **variant = p->variants[i]; *variant; variant++)
			free(*variant);
		free(p->variants[i]);
	}
	plan_earlier_release(&p->old);
	free(p->slots);
	free(p->variants);
	free(p->chosen);
	free(p->reported);
	free(p->before);
	json_decref(p->last_of_id);
}

static bool means_some(const struct planner *p, const char *pattern, int table)
{
	const struct bench *b = p->in->bench;
	for (size_t k = 0; k < b->entries_n; k++)
		if (is_in(&b->entries[k], table) &&
		    matches(pattern, &b->entries[k], p->in->tasks[k]))
			return true;
	return false;
}

static void check_patterns(const struct planner *p, const struct strv *patterns, const char *option)
{
	for (size_t i = 0; patterns && i < patterns->n; i++)
		if (!means_some(p, patterns->v[i], -1))
			strv_pushf(p->issues,
				   "%s: no task matches \"%s\" (by id, folder name or "
				   "prepared_dir; tag:NAME by tag, difficulty:NAME)",
				   option, patterns->v[i]);
}

static void check_tables(const struct planner *p)
{
	const struct bench *b = p->in->bench;
	for (size_t i = 0; i < b->entries_n; i++) {
		const struct bench_entry *e = &b->entries[i];
		const struct strv *lists[] = {&e->only, &e->exclude};
		for (size_t k = 0; k < ARRAY_SIZE(lists) && !(i && e->table == e[-1].table); k++)
			for (size_t n = 0; n < lists[k]->n; n++)
				if (!means_some(p, lists[k]->v[n], e->table))
					strv_pushf(p->issues,
						   "%s:%d:%d: %s: no task of this [[tasks]] "
						   "matches \"%s\" (by id, folder "
						   "name or prepared_dir; tag:NAME by tag, "
						   "difficulty:NAME)",
						   b->config_path, e->line, e->col,
						   k ? "exclude" : "only", lists[k]->v[n]);
	}
}

static int check_choice(const struct planner *p, struct err *err)
{
	size_t before = p->issues->n;
	check_patterns(p, p->in->only, "--only");
	check_patterns(p, p->in->exclude, "--exclude");
	check_tables(p);
	const struct bench *b = p->in->bench;
	bool any = b->entries_n == 0, only = p->in->only && p->in->only->n;
	for (size_t i = 0; i < b->entries_n; i++) {
		any = any || p->chosen[i];
		only = only || b->entries[i].only.n;
	}
	if (!any && p->issues->n == before)
		strv_pushf(p->issues, "%severy task%s is excluded",
			   p->in->exclude && p->in->exclude->n ? "--exclude: " : "",
			   only ? " that only leaves" : "");
	return p->issues->n > before ? err_set(err, ERR_USAGE, 0, "nothing to run") : 0;
}

int plan_make(struct plan *out, const struct plan_input *in, struct strv *issues, struct err *err)
{
	*out = (struct plan){0};
	struct planner p = {.in = in, .plan = out, .issues = issues};
	size_t before = issues->n;
	if (check_size(in, issues, err) < 0)
		return -1;
	start(&p);
	int rc = check_choice(&p, err);
	plan_all(&p);
	finish(&p);
	if (issues->n > before)
		rc = err_set(err, ERR_USAGE, 0, "%s: trials that cannot stand side by side",
			     in->bench->config_path);
	if (rc < 0)
		plan_release(out);
	return rc;
}

void plan_stamp(struct plan *p, const char *stamp)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->trials[i].run_id);
		p->trials[i].run_id = xasprintf("%s-%d", stamp, p->trials[i].index);
	}
}

void plan_release(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		trial_release(&p->trials[i]);
	free(p->trials);
	strv_release(&p->notes);
	*p = (struct plan){0};
}
