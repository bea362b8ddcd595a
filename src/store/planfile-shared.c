/* SPDX-License-Identifier: GPL-3.0-or-later
 * A plan of many trials, most of which differ in little: what they share is held once. */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/planfile-lines.h"
#include "store/store.h"

/* What a line has of its trial alone, as planfile_write puts it, and what is left: REST, where all trials of a task in an
 * entry are alike. */
struct cut {
	const char *stem, *key;
	size_t stem_n;
	uint32_t number;
	int64_t index, rollout, seed;
	const char *rest[2];
	size_t rest_n[2];
};

/* STEM-NUMBER as trial_run_id() puts it together. The number; TRIAL_NO_NUMBER: all is stem. */
static uint32_t number_of(const char *run_id, size_t n, size_t *stem_n)
{
	enum { MOST = 9 };
	uint32_t number = 0;
	size_t at = n;

	while (at && run_id[at - 1] >= '0' && run_id[at - 1] <= '9')
		at--;
	bool usual = at && at < n && n - at <= MOST && at <= TRIAL_STEM_MAX &&
		     run_id[at - 1] == '-' && (run_id[at] != '0' || at == n - 1);
	*stem_n = usual ? at - 1 : n;
	for (; usual && at < n; at++)
		number = number * 10 + (uint32_t)(run_id[at] - '0');
	return usual ? number : TRIAL_NO_NUMBER;
}

static bool number_after(const char **at, const char *member, int64_t *out)
{
	size_t n = strlen(member);
	char *end;

	if (strncmp(*at, member, n) != 0)
		return false;
	*out = strtoll(*at + n, &end, 10);
	bool found = end > *at + n && (*end == ',' || *end == '}');
	*at = end;
	return found;
}

static bool text_after(const char **at, const char *member, const char **out, size_t *out_n)
{
	size_t n = strlen(member);

	if (strncmp(*at, member, n) != 0)
		return false;
	*out = *at + n;
	*out_n = strcspn(*out, "\"\\");
	*at = *out + *out_n + 1;
	return (*out)[*out_n] == '"';
}

/* Quotes inside of strings are escaped: what looks like a member is one. */
static bool cut_up(struct cut *c, const struct plan_line *line)
{
	static const char rollout[] = ",\"rollout\":";
	const char *at = line->text;
	size_t key_n, run_id_n;

	if (strlen(at) != line->n || !number_after(&at, "{\"index\":", &c->index) ||
	    !text_after(&at, ",\"run_id\":\"", &c->stem, &run_id_n) ||
	    !text_after(&at, ",\"key\":\"", &c->key, &key_n) || key_n != HASH_HEX - 1)
		return false;
	c->number = number_of(c->stem, run_id_n, &c->stem_n);
	c->rest[0] = at;
	at = strstr(at, rollout);
	if (!at || memchr(c->rest[0], '{', (size_t)(at - c->rest[0])))
		return false;
	c->rest_n[0] = (size_t)(at - c->rest[0]);
	if (!number_after(&at, rollout, &c->rollout) || !number_after(&at, ",\"seed\":", &c->seed))
		return false;
	c->rest[1] = at;
	c->rest_n[1] = strcspn(at, "\n");
	if (c->rest_n[1] && at[c->rest_n[1] - 1] == ',')
		c->rest_n[1]--;
	return c->index == (int64_t)line->index && c->rollout >= 0 && c->rollout <= INT32_MAX;
}

/* Two hashes of all that is left of a line: 128 bits, of nothing that anybody gains by forging, as the plan is theirs. */
struct likeness {
	uint64_t v[2];
};

#define NO_LIKENESS ((struct likeness){{0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f}})

static void add_likeness(struct likeness *l, const char *p, size_t n)
{
	for (size_t left = n; left;) {
		uint64_t word = 0;
		size_t step = left < sizeof word ? left : sizeof word;
		memcpy(&word, p, step);
		l->v[0] = (l->v[0] ^ word) * 0xff51afd7ed558ccd;
		l->v[0] ^= l->v[0] >> 29;
		l->v[1] = (l->v[1] + word) * 0xc4ceb9fe1a85ec53;
		l->v[1] ^= l->v[1] >> 31;
		p += step;
		left -= step;
	}
	l->v[1] += n;
}

/* Of the seed that its first rollout has. */
static int64_t first_seed(int64_t seed, int64_t rollout)
{
	return seed < 0 ? TRIAL_NO_SEED : seed - rollout;
}

/* Of what trials share: see struct trial_shared. */
static struct likeness likeness_of(const struct cut *c)
{
	struct likeness l = NO_LIKENESS;
	int64_t seed = first_seed(c->seed, c->rollout);

	for (size_t part = 0; part < 2; part++)
		add_likeness(&l, c->rest[part], c->rest_n[part]);
	add_likeness(&l, c->stem, c->stem_n);
	add_likeness(&l, (const char *)&seed, sizeof seed);
	return l;
}

static const char *end_of_string(const char *at)
{
	for (; *at && *at != '"'; at++)
		at += *at == '\\' && at[1];
	return *at ? at + 1 : at;
}

/* Behind the value at AT, which is JSON. */
static const char *end_of_value(const char *at)
{
	int depth = 0;

	do {
		if (*at == '"') {
			at = end_of_string(at + 1);
			continue;
		}
		depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
		at += *at != '\0';
	} while (*at && (depth || (*at != ',' && *at != '}')));
	return at;
}

static bool is_of_task(const char *name, size_t n)
{
	static const char *const names[] = {
		"index",	 "run_id",     "key",	    "rollout", "seed",
		"task_dir",	 "task_id",    "task_hash", "tags",    "planned_hash",
		"task_snapshot", "repository", "cluster",   "image",   "image_id"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && !memcmp(names[i], name, n))
			return true;
	return false;
}

/* Of all that a line says, but for what trial_shared and trial_status have themselves. False: it is not as planfile_write
 * puts it. */
static bool setting_of(const char *line, struct likeness *out)
{
	const char *at = line;

	for (*out = NO_LIKENESS; *at == '{' || *at == ',';) {
		const char *name = at + 1;
		if (*name != '"')
			return false;
		const char *end = end_of_string(name + 1);
		if (*end != ':')
			return false;
		at = end_of_value(end + 1);
		if (!is_of_task(name + 1, (size_t)(end - name) - 2))
			add_likeness(out, name, (size_t)(at - name));
	}
	return *at == '}';
}

/* What was met by its likeness, while a plan is read; open addressing. */
struct alike {
	struct one_alike {
		struct likeness of;
		const void *item; /* NULL: free */
	} * v;
	size_t n, cap;
};

static struct one_alike *find_alike(const struct alike *a, struct likeness of)
{
	size_t i = of.v[0] & (a->cap - 1);

	while (a->v[i].item && memcmp(&a->v[i].of, &of, sizeof of) != 0)
		i = (i + 1) & (a->cap - 1);
	return &a->v[i];
}

static void make_room(struct alike *a)
{
	struct alike larger = {.n = a->n, .cap = a->cap ? 2 * a->cap : 64};

	if (2 * a->n < a->cap)
		return;
	larger.v = xcalloc(larger.cap, sizeof *larger.v);
	for (size_t i = 0; i < a->cap; i++)
		if (a->v[i].item)
			*find_alike(&larger, a->v[i].of) = a->v[i];
	free(a->v);
	*a = larger;
}

/* The place of what is like OF, or where it would be. */
static struct one_alike *place_of(struct alike *a, struct likeness of)
{
	make_room(a);
	struct one_alike *one = find_alike(a, of);
	one->of = of;
	a->n += !one->item;
	return one;
}

struct sharing {
	struct plan_trial *v;
	size_t n, cap;
	struct alike shared, settings;
	struct words *words;
};

static const char *text_of(struct sharing *s, const char *text)
{
	const char *kept = words_text(s->words, text);

	return kept ? kept : "";
}

static struct strv tags_of(struct sharing *s, const struct strv *tags)
{
	struct strv out = STRV_INIT;

	if (!tags->n)
		return out;
	out.v = memory_get(s->words->memory, (tags->n + 1) * sizeof *out.v);
	for (; out.n < tags->n; out.n++)
		out.v[out.n] = (char *)text_of(s, tags->v[out.n]);
	out.v[out.n] = NULL;
	return out;
}

static const struct trial *setting(struct sharing *s, const struct plan_line *line,
				   struct trial *t_take)
{
	struct likeness of;

	if (!setting_of(line->text, &of))
		return memory_trial(s->words->memory, t_take);
	struct one_alike *one = place_of(&s->settings, of);
	if (!one->item)
		one->item = memory_trial(s->words->memory, t_take);
	return one->item;
}

static int take_apart(struct sharing *s, struct plan_trial *to, const struct plan_line *line,
		      struct err *err)
{
	struct trial t;
	size_t stem_n;

	if (plan_parse_trial(&t, line, err))
		return -1;
	uint32_t number = number_of(t.run_id, strlen(t.run_id), &stem_n);
	AUTO(free) char *stem = xstrndup(t.run_id, stem_n);
	struct trial_shared *shared = memory_get(s->words->memory, sizeof *shared);
	*shared = (struct trial_shared){.stem = text_of(s, stem),
					.seed = first_seed(t.seed, t.rollout),
					.task_dir = text_of(s, t.task_dir),
					.task_id = text_of(s, t.task_id),
					.task_hash = text_of(s, t.task_hash),
					.planned_hash = text_of(s, t.planned_hash),
					.task_snapshot = text_of(s, t.task_snapshot),
					.repository = text_of(s, t.repository),
					.cluster = text_of(s, t.cluster),
					.image = text_of(s, t.image),
					.image_id = text_of(s, t.image_id),
					.tags = tags_of(s, &t.tags)};
	*to = (struct plan_trial){shared, plan_key_of(t.key), number, t.rollout};
	shared->setting = setting(s, line, &t);
	trial_release(&t);
	return 0;
}

static int take_shared(void *arg, const struct plan_line *line, struct err *err)
{
	struct sharing *s = arg;
	struct one_alike *one = NULL;
	struct cut c;

	GROW(s->v, s->n, s->cap);
	struct plan_trial *to = &s->v[s->n];
	if (cut_up(&c, line))
		one = place_of(&s->shared, likeness_of(&c));
	if (one && one->item)
		*to = (struct plan_trial){one->item, plan_key_of(c.key), c.number, (int)c.rollout};
	else if (take_apart(s, to, line, err))
		return -1;
	if (one)
		one->item = to->shared;
	s->n++;
	return 0;
}

uint64_t plan_key_of(const char *key)
{
	uint64_t out = 0xcbf29ce484222325;

	for (size_t i = 0; i < HASH_HEX - 1 && key[i]; i++)
		out = (out ^ (unsigned char)key[i]) * 0x100000001b3;
	return out;
}

int planfile_read_shared(struct planfile *head, struct plan_trial **out, size_t *n,
			 struct words *words, int dir_fd, const char *where, struct err *err)
{
	struct sharing s = {.words = words};
	int status = plan_read_lines(head, dir_fd, take_shared, &s, where, err);

	free(s.shared.v);
	free(s.settings.v);
	*out = s.v;
	*n = s.n;
	return status;
}
