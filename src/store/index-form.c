/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/index-form.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

enum { PIECE = 8192 };

static uint64_t sizes(void)
{
	const size_t of[] = {sizeof(struct index_head),	  sizeof(struct index_entry),
			     sizeof(struct index_origin), sizeof(struct index_trial),
			     sizeof(struct index_more),	  OUTCOME_COUNT_,
			     sizeof(struct limits)};
	uint64_t all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(of); i++)
		all = all * 1000003 + of[i];
	return all;
}

/* Strings one after the other, each once. */
struct texts {
	struct buf all;
	uint32_t *slots; /* open addressing, offsets; 0: free */
	size_t n, cap;
};

static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 0x100000001b3;
	return h ^ h >> 32;
}

static uint32_t *slot_of(const struct texts *t, const char *text)
{
	size_t i = hash_of(text) & (t->cap - 1);

	while (t->slots[i] && strcmp(t->all.data + t->slots[i], text) != 0)
		i = (i + 1) & (t->cap - 1);
	return &t->slots[i];
}

static void grow(struct texts *t)
{
	struct texts larger = {.all = t->all, .n = t->n, .cap = t->cap ? 2 * t->cap : 256};

	if (2 * t->n < t->cap)
		return;
	larger.slots = xcalloc(larger.cap, sizeof *larger.slots);
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i])
			*slot_of(&larger, t->all.data + t->slots[i]) = t->slots[i];
	free(t->slots);
	*t = larger;
}

static uint32_t append(struct texts *t, const char *text)
{
	uint32_t at = (uint32_t)t->all.len;

	buf_add(&t->all, text, strlen(text) + 1);
	return at;
}

static uint32_t text_of(struct texts *t, const char *text)
{
	if (!text || !*text)
		return 0;
	grow(t);
	uint32_t *slot = slot_of(t, text);
	if (!*slot) {
		*slot = append(t, text);
		t->n++;
	}
	return *slot;
}

struct packing {
	const struct rollout *r;
	struct texts texts;
	json_t *settings; /* text -> number */
	struct buf settings_text, entries, origins, more, trials;
	struct known {
		const void *of;
		uint32_t number;
	} * known; /* entries and origins by their addresses; open addressing */
	size_t known_n, known_cap;
};

static struct known *find_known(const struct packing *p, const void *of)
{
	size_t i = ((uintptr_t)of >> 4) * 0x9e3779b97f4a7c15 >> 20 & (p->known_cap - 1);

	while (p->known[i].of && p->known[i].of != of)
		i = (i + 1) & (p->known_cap - 1);
	return &p->known[i];
}

static struct known *known(struct packing *p, const void *of)
{
	struct packing larger = {.known_cap = p->known_cap ? 2 * p->known_cap : 256};

	if (2 * p->known_n >= p->known_cap) {
		larger.known = xcalloc(larger.known_cap, sizeof *larger.known);
		for (size_t i = 0; i < p->known_cap; i++)
			if (p->known[i].of)
				*find_known(&larger, p->known[i].of) = p->known[i];
		free(p->known);
		p->known = larger.known;
		p->known_cap = larger.known_cap;
	}
	return find_known(p, of);
}

/* The trial without what an entry of the index has. */
static uint32_t setting_of(struct packing *p, const struct trial *t)
{
	struct trial bare = *t;
	AUTO(buf) struct buf text = BUF_INIT;

	bare.task_dir = bare.task_id = bare.task_hash = bare.planned_hash = bare.task_snapshot =
		bare.repository = bare.cluster = bare.image = bare.image_id = bare.run_id =
			(char *)"";
	bare.key[0] = '\0';
	bare.index = bare.rollout = 0;
	bare.tags = (struct strv)STRV_INIT;
	AUTO(json) json_t *j = trial_to_json(&bare);
	json_format(&text, j, false);
	const json_t *number = json_object_get(p->settings, text.data);
	if (number)
		return (uint32_t)json_integer_value(number);
	uint32_t n = (uint32_t)json_object_size(p->settings);
	json_put_int(p->settings, text.data, n);
	buf_add(&p->settings_text, text.data, text.len + 1);
	return n;
}

static uint32_t entry_of(struct packing *p, const struct trial *t)
{
	struct known *k = known(p, t);

	if (k->of)
		return k->number;
	*k = (struct known){t, (uint32_t)(p->entries.len / sizeof(struct index_entry))};
	p->known_n++;
	struct index_entry e = {.task_dir = text_of(&p->texts, t->task_dir),
				.task_id = text_of(&p->texts, t->task_id),
				.task_hash = text_of(&p->texts, t->task_hash),
				.planned_hash = text_of(&p->texts, t->planned_hash),
				.task_snapshot = text_of(&p->texts, t->task_snapshot),
				.repository = text_of(&p->texts, t->repository),
				.cluster = text_of(&p->texts, t->cluster),
				.image = text_of(&p->texts, t->image),
				.image_id = text_of(&p->texts, t->image_id),
				.setting = setting_of(p, t),
				.tags_n = (uint32_t)t->tags.n};
	for (size_t i = 0; i < t->tags.n; i++) {
		uint32_t at = append(&p->texts, t->tags.v[i]);
		if (!i)
			e.tags = at;
	}
	buf_add(&p->entries, &e, sizeof e);
	return k->number;
}

static uint32_t origin_of(struct packing *p, const struct result_origin *o)
{
	struct known *k = known(p, o);

	if (k->of)
		return k->number;
	*k = (struct known){o, (uint32_t)(p->origins.len / sizeof(struct index_origin))};
	p->known_n++;
	const struct index_origin packed = {.task_hash = text_of(&p->texts, o->task_hash),
					    .served = text_of(&p->texts, o->served),
					    .agent_version = text_of(&p->texts, o->agent_version),
					    .judge_served = text_of(&p->texts, o->judge_served),
					    .judge_model = text_of(&p->texts, o->judge_model),
					    .judge_prompt = text_of(&p->texts, o->judge_prompt),
					    .image_id = text_of(&p->texts, o->image_id),
					    .program = text_of(&p->texts, o->program)};
	buf_add(&p->origins, &packed, sizeof packed);
	return k->number;
}

static json_t *custom_to_json(const struct result_more *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->custom_n; i++) {
		json_t *one = json_array();
		json_array_append_new(one, json_string(m->custom[i].name));
		json_array_append_new(one, json_real(m->custom[i].value));
		json_array_append_new(one, json_boolean(m->custom[i].self_reported));
		json_array_append_new(list, one);
	}
	return list;
}

static void put_more(struct packing *p, uint32_t trial, const struct result_more *m)
{
	struct index_more packed = {.judge_score = m->judge_score,
				    .first_score = m->first_score,
				    .skipped = m->skipped,
				    .ignored = m->ignored,
				    .trial = trial};
	AUTO(buf) struct buf text = BUF_INIT;

	if (m == &result_no_more)
		return;
	if (m->custom_n || m->judge_votes) {
		AUTO(json) json_t *j = json_object();
		json_put(j, "custom", custom_to_json(m));
		if (m->judge_votes)
			json_put(j, "votes", json_incref(m->judge_votes));
		json_format(&text, j, false);
		packed.extra = text_of(&p->texts, text.data);
	}
	buf_add(&p->more, &packed, sizeof packed);
}

static bool is_usual(const struct rollout *r, const char *run_id, size_t i)
{
	char usual[64];

	return (size_t)snprintf(usual, sizeof usual, "%s-%zu", r->ref.stamp, i) < sizeof usual &&
	       strcmp(usual, run_id) == 0;
}

static bool fits(int64_t n)
{
	return n >= INT32_MIN && n <= INT32_MAX;
}

static bool put_trial(struct packing *p, size_t i)
{
	const struct trial_status *t = &p->r->trials[i];
	const struct trial_result *x = &t->result;
	struct index_trial packed = {
		.total_score = x->total_score,
		.money_usd = x->money_usd,
		.tokens = x->tokens,
		.wall_ms = x->wall_ms,
		.seed = t->seed,
		.tool_calls = (int32_t)x->tool_calls,
		.calls = (int32_t)x->calls,
		.rollout = t->rollout,
		.attempts = t->attempts,
		.attempt = x->attempt,
		.suspect = x->suspect,
		.entry = entry_of(p, t->trial),
		.run_id = is_usual(p->r, t->run_id, i) ? 0 : text_of(&p->texts, t->run_id),
		.origin = origin_of(p, x->origin),
		.reason = text_of(&p->texts, x->reason),
		.outcome = (uint8_t)x->outcome,
		.state = (uint8_t)t->state,
		.has_result = t->has_result,
		.scored = x->scored,
		.replaced = x->replaced,
		.first_scored = x->first_scored};

	put_more(p, (uint32_t)i, x->more);
	buf_add(&p->trials, &packed, sizeof packed);
	return fits(x->tool_calls) && fits(x->calls) && p->texts.all.len < UINT32_MAX / 2;
}

static int hand_out(const struct buf *b, enum index_kind kind, size_t item, index_put_fn *fn,
		    void *arg)
{
	size_t step = item * PIECE;

	for (size_t at = 0; at < b->len; at += step)
		if (fn(arg, kind, b->data + at, b->len - at < step ? b->len - at : step))
			return -1;
	return 0;
}

static int pack(struct packing *p, struct index_head *head, index_put_fn *fn, void *arg)
{
	const struct rollout *r = p->r;

	buf_addc(&p->texts.all, '\0');
	for (size_t i = 0; i < r->trials_n; i++)
		if (!put_trial(p, i))
			return -1;
	*head = (struct index_head){.form = INDEX_FORM,
				    .sizes = sizes(),
				    .trials = r->trials_n,
				    .entries = p->entries.len / sizeof(struct index_entry),
				    .origins = p->origins.len / sizeof(struct index_origin),
				    .more = p->more.len / sizeof(struct index_more),
				    .settings = json_object_size(p->settings),
				    .damaged_lines = r->damaged_lines,
				    .cost = r->cost};
	if (fn(arg, INDEX_TEXT, p->texts.all.data, p->texts.all.len) ||
	    fn(arg, INDEX_SETTINGS, p->settings_text.data, p->settings_text.len))
		return -1;
	return hand_out(&p->entries, INDEX_ENTRIES, sizeof(struct index_entry), fn, arg) ||
			       hand_out(&p->origins, INDEX_ORIGINS, sizeof(struct index_origin), fn,
					arg) ||
			       hand_out(&p->trials, INDEX_TRIALS, sizeof(struct index_trial), fn,
					arg) ||
			       hand_out(&p->more, INDEX_MORE, sizeof(struct index_more), fn, arg)
		       ? -1
		       : 0;
}

int index_pack(const struct rollout *r, struct index_head *head, index_put_fn *fn, void *arg)
{
	struct packing p = {.r = r,
			    .texts = {.all = BUF_INIT},
			    .settings = json_object(),
			    .settings_text = BUF_INIT,
			    .entries = BUF_INIT,
			    .origins = BUF_INIT,
			    .more = BUF_INIT,
			    .trials = BUF_INIT};
	int status = pack(&p, head, fn, arg);

	json_decref(p.settings);
	buf_release(&p.settings_text);
	buf_release(&p.entries);
	buf_release(&p.origins);
	buf_release(&p.more);
	buf_release(&p.trials);
	buf_release(&p.texts.all);
	free(p.texts.slots);
	free(p.known);
	return status;
}

bool index_unpack_begin(struct index_unpacking *u, struct rollout *r, const struct index_head *head)
{
	enum { MOST = 1 << 28 };

	*u = (struct index_unpacking){.r = r, .head = *head};
	if (head->form != INDEX_FORM || head->sizes != sizes() || head->trials > MOST ||
	    head->entries > head->trials || head->origins > head->trials ||
	    head->more > head->trials || head->settings > head->entries)
		return false;
	r->trials = xcalloc(head->trials + 1, sizeof *r->trials);
	r->trials_n = head->trials;
	for (size_t i = 0; i < r->trials_n; i++)
		r->trials[i].result.more = &result_no_more;
	u->entries = xcalloc(head->entries + 1, sizeof *u->entries);
	memory_take(&r->memory, u->entries);
	u->origins = xcalloc(head->origins + 1, sizeof *u->origins);
	memory_take(&r->memory, u->origins);
	u->settings = xcalloc(head->settings + 1, sizeof *u->settings);
	memory_take(&r->memory, u->settings);
	r->damaged_lines = (int)head->damaged_lines;
	r->cost = head->cost;
	return true;
}

static bool take_text(struct index_unpacking *u, const char *data, size_t n)
{
	if (u->text || !n || data[0] || data[n - 1])
		return false;
	char *kept = xmalloc(n);
	memcpy(kept, data, n);
	memory_take(&u->r->memory, kept);
	u->text = kept;
	u->text_n = n;
	return true;
}

static bool take_settings(struct index_unpacking *u, const char *data, size_t n)
{
	for (size_t at = 0; at < n; at += strlen(data + at) + 1) {
		AUTO(json) json_t *j = NULL;
		struct trial t;
		struct err ignored;
		if (data[n - 1] || u->settings_n == u->head.settings ||
		    json_parse(&j, data + at, strlen(data + at), "index", &ignored) ||
		    trial_from_json(&t, j, "index", &ignored))
			return false;
		u->settings[u->settings_n++] = memory_trial(&u->r->memory, &t);
	}
	return true;
}

/* Where there is none: "". */
static char *text_at(const struct index_unpacking *u, uint32_t at)
{
	return (char *)u->text + at;
}

static bool all_within(const struct index_unpacking *u, const uint32_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] >= u->text_n)
			return false;
	return true;
}

static bool take_tags(struct index_unpacking *u, struct strv *to, uint32_t at, uint32_t n)
{
	*to = (struct strv)STRV_INIT;
	if (!n)
		return true;
	if (n > u->text_n - at)
		return false;
	to->v = memory_get(&u->r->memory, (n + 1) * sizeof *to->v);
	for (; to->n < n && at < u->text_n; at += (uint32_t)strlen(u->text + at) + 1)
		to->v[to->n++] = text_at(u, at);
	to->v[to->n] = NULL;
	return to->n == n;
}

static bool take_entry(struct index_unpacking *u, const struct index_entry *e)
{
	const uint32_t texts[] = {e->task_dir,	    e->task_id,	   e->task_hash, e->planned_hash,
				  e->task_snapshot, e->repository, e->cluster,	 e->image,
				  e->image_id,	    e->tags};

	if (!u->text || u->entries_n == u->head.entries || e->setting >= u->settings_n ||
	    !all_within(u, texts, ARRAY_SIZE(texts)))
		return false;
	struct trial *t = &u->entries[u->entries_n++];
	*t = *u->settings[e->setting];
	t->task_dir = text_at(u, e->task_dir);
	t->task_id = text_at(u, e->task_id);
	t->task_hash = text_at(u, e->task_hash);
	t->planned_hash = text_at(u, e->planned_hash);
	t->task_snapshot = text_at(u, e->task_snapshot);
	t->repository = text_at(u, e->repository);
	t->cluster = text_at(u, e->cluster);
	t->image = text_at(u, e->image);
	t->image_id = text_at(u, e->image_id);
	t->index = t->rollout = -1;
	return take_tags(u, &t->tags, e->tags, e->tags_n);
}

static bool take_origin(struct index_unpacking *u, const struct index_origin *o)
{
	const uint32_t texts[] = {o->task_hash,	   o->served,	   o->agent_version,
				  o->judge_served, o->judge_model, o->judge_prompt,
				  o->image_id,	   o->program};
	const char *at[ARRAY_SIZE(texts)];

	if (!u->text || u->origins_n == u->head.origins || !all_within(u, texts, ARRAY_SIZE(texts)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		at[i] = texts[i] ? text_at(u, texts[i]) : NULL;
	u->origins[u->origins_n++] = (struct result_origin){
		at[0] ? at[0] : "", at[1], at[2], at[3], at[4], at[5], at[6], at[7]};
	return true;
}

/* STAMP-I, by hand: a million of them are made at once. */
static const char *usual_id(struct index_unpacking *u, size_t i)
{
	const char *stamp = u->r->ref.stamp;
	size_t n = strlen(stamp), digits = 1;

	for (size_t left = i; left > 9; left /= 10)
		digits++;
	char *out = memory_text(&u->r->memory, NULL, n + 1 + digits);
	memcpy(out, stamp, n + 1);
	out[n] = '-';
	for (size_t k = n + digits, left = i; k > n; k--, left /= 10)
		out[k] = (char)('0' + left % 10);
	return out;
}

static bool take_trial(struct index_unpacking *u, const struct index_trial *p)
{
	if (u->trials_n == u->head.trials || p->entry >= u->entries_n ||
	    p->origin >= u->origins_n || p->run_id >= u->text_n || p->reason >= u->text_n ||
	    p->outcome >= OUTCOME_COUNT_ || p->state > TRIAL_FINISHED)
		return false;
	size_t i = u->trials_n++;
	u->r->trials[i] =
		(struct trial_status){.trial = &u->entries[p->entry],
				      .run_id = p->run_id ? text_at(u, p->run_id) : usual_id(u, i),
				      .seed = p->seed,
				      .rollout = p->rollout,
				      .attempts = p->attempts,
				      .phase = "",
				      .result = {.origin = &u->origins[p->origin],
						 .more = &result_no_more,
						 .reason = text_at(u, p->reason),
						 .total_score = p->total_score,
						 .tokens = p->tokens,
						 .tool_calls = p->tool_calls,
						 .calls = p->calls,
						 .wall_ms = p->wall_ms,
						 .money_usd = p->money_usd,
						 .outcome = (enum outcome)p->outcome,
						 .attempt = p->attempt,
						 .suspect = p->suspect,
						 .scored = p->scored == 1,
						 .replaced = p->replaced == 1,
						 .first_scored = p->first_scored == 1},
				      .state = (enum trial_state)p->state,
				      .has_result = p->has_result == 1};
	return true;
}

static void take_extra(struct index_unpacking *u, struct result_more *to, const char *text)
{
	AUTO(json) json_t *j = json_loads(text, 0, NULL);
	const json_t *custom = json_object_get(j, "custom");
	json_t *votes = json_object_get(j, "votes"), *one;
	size_t i;

	to->judge_votes = json_incref(votes);
	to->custom = xcalloc(json_array_size(custom) + 1, sizeof *to->custom);
	json_array_foreach (custom, i, one) {
		const char *name = json_string_value(json_array_get(one, 0));
		if (!name)
			continue;
		to->custom[to->custom_n++] =
			(struct trial_metric){memory_text(&u->r->memory, name, strlen(name)),
					      json_number_value(json_array_get(one, 1)),
					      json_is_true(json_array_get(one, 2))};
	}
}

static bool take_more(struct index_unpacking *u, const struct index_more *p)
{
	if (u->more_n == u->head.more || u->trials_n != u->head.trials || p->trial >= u->trials_n ||
	    p->extra >= u->text_n)
		return false;
	struct trial_result *x = &u->r->trials[p->trial].result;
	if (x->more != &result_no_more)
		return false;
	struct result_more *more = xmalloc(sizeof *more);
	*more = result_no_more;
	more->judge_score = p->judge_score;
	more->first_score = p->first_score;
	more->skipped = p->skipped;
	more->ignored = p->ignored;
	if (p->extra)
		take_extra(u, more, text_at(u, p->extra));
	x->more = more;
	u->more_n++;
	return true;
}

/* Copied out one by one: nothing says how a piece is aligned. */
#define TAKE_EACH(type, take)                                                                      \
	do {                                                                                       \
		type item;                                                                         \
		if (n % sizeof item)                                                               \
			return false;                                                              \
		for (size_t at = 0; at < n; at += sizeof item) {                                   \
			memcpy(&item, (const char *)data + at, sizeof item);                       \
			if (!take(u, &item))                                                       \
				return false;                                                      \
		}                                                                                  \
		return true;                                                                       \
	} while (0)

bool index_unpack(struct index_unpacking *u, enum index_kind kind, const void *data, size_t n)
{
	switch (kind) {
	case INDEX_TEXT:
		return take_text(u, data, n);
	case INDEX_SETTINGS:
		return take_settings(u, data, n);
	case INDEX_ENTRIES:
		TAKE_EACH(struct index_entry, take_entry);
	case INDEX_ORIGINS:
		TAKE_EACH(struct index_origin, take_origin);
	case INDEX_TRIALS:
		TAKE_EACH(struct index_trial, take_trial);
	case INDEX_MORE:
		TAKE_EACH(struct index_more, take_more);
	}
	return false;
}

bool index_unpack_end(struct index_unpacking *u)
{
	return u->text && u->entries_n == u->head.entries && u->origins_n == u->head.origins &&
	       u->settings_n == u->head.settings && u->more_n == u->head.more &&
	       u->trials_n == u->head.trials;
}
