/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/index-form.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

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
	struct buf settings, entries, origins, more, trials;
	uint32_t settings_n;
	struct known {
		const void *of;
		uint32_t number;
	} * known; /* settings, entries and origins by their addresses; open addressing */
	size_t known_n, known_cap;
	index_put_fn *fn;
	void *arg;
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

/* The place of OF, which is NUMBER if it was not known. */
static bool is_new(struct packing *p, const void *of, uint32_t number, uint32_t *out)
{
	struct known *k = known(p, of);
	bool is_new = !k->of;

	if (is_new) {
		*k = (struct known){of, number};
		p->known_n++;
	}
	*out = k->number;
	return is_new;
}

/* What of T is somebody's; see struct trial_shared. */
static uint32_t setting_of(struct packing *p, const struct trial *t)
{
	uint32_t number;

	if (!is_new(p, t, p->settings_n, &number))
		return number;
	struct trial bare = *t;
	bare.task_dir = bare.task_id = bare.task_hash = bare.planned_hash = bare.task_snapshot =
		bare.repository = bare.cluster = bare.image = bare.image_id = bare.run_id =
			(char *)"";
	bare.key[0] = '\0';
	bare.index = bare.rollout = 0;
	bare.tags = (struct strv)STRV_INIT;
	AUTO(json) json_t *j = trial_to_json(&bare);
	json_format(&p->settings, j, false);
	buf_addc(&p->settings, '\0');
	p->settings_n++;
	return number;
}

/* TEXT, where WHOLE, which is at AT, ends in it: a snapshot in the hash of its task, a folder in its task's name. */
static uint32_t tail_of(struct packing *p, uint32_t at, const char *whole, const char *text)
{
	size_t n = strlen(whole), m = strlen(text);

	return m && n >= m && !strcmp(whole + (n - m), text) ? at + (uint32_t)(n - m)
							     : text_of(&p->texts, text);
}

static uint32_t entry_of(struct packing *p, const struct trial_shared *t)
{
	uint32_t number;

	if (!is_new(p, t, (uint32_t)(p->entries.len / sizeof(struct index_entry)), &number))
		return number;
	struct index_entry e = {.seed = t->seed,
				.stem = text_of(&p->texts, t->stem),
				.task_dir = text_of(&p->texts, t->task_dir),
				.planned_hash = text_of(&p->texts, t->planned_hash),
				.task_snapshot = text_of(&p->texts, t->task_snapshot),
				.repository = text_of(&p->texts, t->repository),
				.cluster = text_of(&p->texts, t->cluster),
				.image = text_of(&p->texts, t->image),
				.image_id = text_of(&p->texts, t->image_id),
				.setting = setting_of(p, t->setting),
				.tags_n = (uint32_t)t->tags.n};
	e.task_id = tail_of(p, e.task_dir, t->task_dir, t->task_id);
	e.task_hash = tail_of(p, e.task_snapshot, t->task_snapshot, t->task_hash);
	for (size_t i = 0; i < t->tags.n; i++) {
		uint32_t at = append(&p->texts, t->tags.v[i]);
		if (!i)
			e.tags = at;
	}
	buf_add(&p->entries, &e, sizeof e);
	return number;
}

static uint32_t origin_of(struct packing *p, const struct result_origin *o)
{
	uint32_t number;

	if (!is_new(p, o, (uint32_t)(p->origins.len / sizeof(struct index_origin)), &number))
		return number;
	const struct index_origin packed = {.task_hash = text_of(&p->texts, o->task_hash),
					    .served = text_of(&p->texts, o->served),
					    .agent_version = text_of(&p->texts, o->agent_version),
					    .judge_served = text_of(&p->texts, o->judge_served),
					    .judge_model = text_of(&p->texts, o->judge_model),
					    .judge_prompt = text_of(&p->texts, o->judge_prompt),
					    .image_id = text_of(&p->texts, o->image_id),
					    .program = text_of(&p->texts, o->program)};
	buf_add(&p->origins, &packed, sizeof packed);
	return number;
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

static int put_trials(struct packing *p)
{
	int status = p->trials.len ? p->fn(p->arg, INDEX_TRIALS, p->trials.data, p->trials.len) : 0;

	buf_reset(&p->trials);
	return status;
}

static int put_trial(struct packing *p, size_t i)
{
	const struct trial_status *t = &p->r->trials[i];
	const struct trial_result *x = &t->result;
	struct index_trial packed = {.total_score = x->total_score,
				     .money_usd = x->money_usd,
				     .tokens = x->tokens,
				     .wall_ms = x->wall_ms,
				     .tool_calls = x->tool_calls,
				     .calls = x->calls,
				     .rollout = t->rollout,
				     .attempts = t->attempts,
				     .attempt = (int32_t)x->attempt,
				     .suspect = (uint16_t)x->suspect,
				     .entry = entry_of(p, t->shared),
				     .number = t->number,
				     .origin = origin_of(p, x->origin),
				     .reason = text_of(&p->texts, x->reason),
				     .outcome = (uint8_t)x->outcome,
				     .state = (uint8_t)t->state,
				     .has_result = t->has_result,
				     .scored = x->scored,
				     .replaced = x->replaced,
				     .first_scored = x->first_scored,
				     .as_planned = x->as_planned,
				     .disturbed = x->disturbed};

	put_more(p, (uint32_t)i, x->more);
	buf_add(&p->trials, &packed, sizeof packed);
	if (p->texts.all.len >= UINT32_MAX / 2)
		return -1;
	return p->trials.len < PIECE * sizeof packed ? 0 : put_trials(p);
}

static int hand_out(const struct packing *p, const struct buf *b, enum index_kind kind, size_t item)
{
	size_t step = item * PIECE;

	for (size_t at = 0; at < b->len; at += step)
		if (p->fn(p->arg, kind, b->data + at, b->len - at < step ? b->len - at : step))
			return -1;
	return 0;
}

/* Pieces are read by their kinds: so trials go out as they are packed, whatever text is still to come. */
static int pack(struct packing *p, struct index_head *head)
{
	const struct rollout *r = p->r;

	buf_addc(&p->texts.all, '\0');
	for (size_t i = 0; i < r->trials_n; i++)
		if (put_trial(p, i))
			return -1;
	*head = (struct index_head){.form = INDEX_FORM,
				    .sizes = sizes(),
				    .trials = r->trials_n,
				    .entries = p->entries.len / sizeof(struct index_entry),
				    .origins = p->origins.len / sizeof(struct index_origin),
				    .more = p->more.len / sizeof(struct index_more),
				    .settings = p->settings_n,
				    .damaged_lines = r->damaged_lines,
				    .cost = r->cost};
	if (put_trials(p) || p->fn(p->arg, INDEX_TEXT, p->texts.all.data, p->texts.all.len) ||
	    p->fn(p->arg, INDEX_SETTINGS, p->settings.data, p->settings.len))
		return -1;
	return hand_out(p, &p->entries, INDEX_ENTRIES, sizeof(struct index_entry)) ||
			       hand_out(p, &p->origins, INDEX_ORIGINS,
					sizeof(struct index_origin)) ||
			       hand_out(p, &p->more, INDEX_MORE, sizeof(struct index_more))
		       ? -1
		       : 0;
}

int index_pack(const struct rollout *r, struct index_head *head, index_put_fn *fn, void *arg)
{
	struct packing p = {.r = r,
			    .texts = {.all = BUF_INIT},
			    .settings = BUF_INIT,
			    .entries = BUF_INIT,
			    .origins = BUF_INIT,
			    .more = BUF_INIT,
			    .trials = BUF_INIT,
			    .fn = fn,
			    .arg = arg};
	int status = pack(&p, head);

	buf_release(&p.settings);
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
	if (u->text || !n || data[0] || data[n - 1] || !text_is_utf8(data, n))
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

/* Whether a text begins there, and not in the middle of a letter. */
static bool is_text(const struct index_unpacking *u, uint32_t at)
{
	return at < u->text_n && ((unsigned char)u->text[at] & 0xc0) != 0x80;
}

static bool all_within(const struct index_unpacking *u, const uint32_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_text(u, at[i]))
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
	const uint32_t texts[] = {e->stem,	   e->task_dir,	     e->task_id,    e->task_hash,
				  e->planned_hash, e->task_snapshot, e->repository, e->cluster,
				  e->image,	   e->image_id,	     e->tags};

	if (!u->text || u->entries_n == u->head.entries || e->setting >= u->settings_n ||
	    !all_within(u, texts, ARRAY_SIZE(texts)))
		return false;
	struct trial_shared *t = &u->entries[u->entries_n++];
	t->setting = u->settings[e->setting];
	t->seed = e->seed;
	t->stem = text_at(u, e->stem);
	t->task_dir = text_at(u, e->task_dir);
	t->task_id = text_at(u, e->task_id);
	t->task_hash = text_at(u, e->task_hash);
	t->planned_hash = text_at(u, e->planned_hash);
	t->task_snapshot = text_at(u, e->task_snapshot);
	t->repository = text_at(u, e->repository);
	t->cluster = text_at(u, e->cluster);
	t->image = text_at(u, e->image);
	t->image_id = text_at(u, e->image_id);
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

static bool take_trial(struct index_unpacking *u, const struct index_trial *p)
{
	if (u->trials_n == u->head.trials || p->entry >= u->entries_n ||
	    p->origin >= u->origins_n || !is_text(u, p->reason) || p->outcome >= OUTCOME_COUNT_ ||
	    p->state > TRIAL_FINISHED ||
	    (p->number != TRIAL_NO_NUMBER && strlen(u->entries[p->entry].stem) > TRIAL_STEM_MAX))
		return false;
	u->r->trials[u->trials_n++] =
		(struct trial_status){.shared = &u->entries[p->entry],
				      .number = p->number,
				      .rollout = p->rollout,
				      .attempts = p->attempts,
				      .result = {.origin = &u->origins[p->origin],
						 .more = &result_no_more,
						 .reason = text_at(u, p->reason),
						 .total_score = p->total_score,
						 .tokens = p->tokens,
						 .tool_calls = p->tool_calls,
						 .calls = p->calls,
						 .wall_ms = p->wall_ms,
						 .money_usd = p->money_usd,
						 .outcome = p->outcome,
						 .attempt = p->attempt,
						 .suspect = p->suspect & TRIAL_SUSPECT_MAX,
						 .scored = p->scored == 1,
						 .replaced = p->replaced == 1,
						 .first_scored = p->first_scored == 1,
						 .as_planned = p->as_planned == 1,
						 .disturbed = p->disturbed == 1},
				      .state = p->state,
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
	    !is_text(u, p->extra))
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
