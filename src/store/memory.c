/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store/memory.h"
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "store/store.h"

enum { BLOCK = 1 << 16 };

void memory_take(struct rollout_memory *m, void *block)
{
	GROW(m->blocks, m->blocks_n, m->blocks_cap);
	m->blocks[m->blocks_n++] = block;
}

void *memory_get(struct rollout_memory *m, size_t size)
{
	size_t skip = -(uintptr_t)m->free & (alignof(max_align_t) - 1);

	if (skip + size > m->left) {
		m->left = size > BLOCK ? size : BLOCK;
		m->free = xmalloc(m->left);
		memory_take(m, m->free);
		skip = 0;
	}
	char *out = m->free + skip;
	m->free = out + size;
	m->left -= skip + size;
	return out;
}

char *memory_text(struct rollout_memory *m, const char *text, size_t n)
{
	if (n + 1 > m->left) {
		m->left = n + 1 > BLOCK ? n + 1 : BLOCK;
		m->free = xmalloc(m->left);
		memory_take(m, m->free);
	}
	char *out = m->free;
	if (text)
		memcpy(out, text, n);
	out[n] = '\0';
	m->free += n + 1;
	m->left -= n + 1;
	return out;
}

struct trial *memory_trial(struct rollout_memory *m, struct trial *t_take)
{
	struct trial *t = xmalloc(sizeof *t);

	*t = *t_take;
	*t_take = (struct trial){.seed = -1};
	GROW(m->trials, m->trials_n, m->trials_cap);
	m->trials[m->trials_n++] = t;
	return t;
}

void memory_join(struct rollout_memory *m, struct rollout_memory *from)
{
	for (size_t i = 0; i < from->blocks_n; i++)
		memory_take(m, from->blocks[i]);
	for (size_t i = 0; i < from->trials_n; i++) {
		GROW(m->trials, m->trials_n, m->trials_cap);
		m->trials[m->trials_n++] = from->trials[i];
	}
	free(from->blocks);
	free(from->trials);
	*from = (struct rollout_memory){0};
}

void memory_release(struct rollout_memory *m)
{
	for (size_t i = 0; i < m->blocks_n; i++)
		free(m->blocks[i]);
	for (size_t i = 0; i < m->trials_n; i++) {
		trial_release(m->trials[i]);
		free(m->trials[i]);
	}
	free(m->blocks);
	free(m->trials);
	*m = (struct rollout_memory){0};
}

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
static uint64_t hash_of(const void *data, size_t n)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

typedef size_t size_fn(const void *item);

static size_t text_size(const void *item)
{
	return strlen(item) + 1;
}

static size_t origin_size(const void *item)
{
	(void)item;
	return sizeof(struct result_origin);
}

/* Where ITEM is, or where it would be: that is NULL. */
static const void **slot_of(const struct words_table *t, const void *item, size_fn *size_of)
{
	size_t size = size_of(item), i = hash_of(item, size) & (t->cap - 1);

	while (t->v[i] && (size_of(t->v[i]) != size || memcmp(t->v[i], item, size) != 0))
		i = (i + 1) & (t->cap - 1);
	return &t->v[i];
}

static void make_room(struct words_table *t, size_fn *size_of)
{
	struct words_table larger = {.n = t->n, .cap = t->cap ? 2 * t->cap : 64};

	if (2 * t->n < t->cap)
		return;
	larger.v = xcalloc(larger.cap, sizeof *larger.v);
	for (size_t i = 0; i < t->cap; i++)
		if (t->v[i])
			*slot_of(&larger, t->v[i], size_of) = t->v[i];
	free(t->v);
	*t = larger;
}

const char *words_text(struct words *w, const char *text)
{
	if (!text || !*text)
		return NULL;
	make_room(&w->texts, text_size);
	const void **slot = slot_of(&w->texts, text, text_size);
	if (!*slot) {
		*slot = memory_text(w->memory, text, strlen(text));
		w->texts.n++;
	}
	return *slot;
}

/* Its texts are held once, so that equal ones are the same pointers. */
const struct result_origin *words_origin(struct words *w, const struct result_origin *like)
{
	make_room(&w->origins, origin_size);
	const void **slot = slot_of(&w->origins, like, origin_size);
	if (!*slot) {
		struct result_origin *kept = memory_get(w->memory, sizeof *kept);
		*kept = *like;
		*slot = kept;
		w->origins.n++;
	}
	return *slot;
}

void words_end(struct words *w)
{
	free(w->texts.v);
	free(w->origins.v);
}
