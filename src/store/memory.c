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

const char *words_text(struct words *w, const char *text)
{
	size_t n = text ? strlen(text) : 0;

	if (!n)
		return NULL;
	struct hashtable_slot *slot = hashtable_first(&w->texts, hashtable_hash(text, n));
	while (slot->item && strcmp(slot->item, text) != 0)
		slot = hashtable_next(&w->texts, slot);
	if (!slot->item)
		hashtable_put(&w->texts, slot, memory_text(w->memory, text, n));
	return slot->item;
}

/* Its texts are held once, so that equal ones are the same pointers. */
const struct result_origin *words_origin(struct words *w, const struct result_origin *like)
{
	struct hashtable_slot *slot =
		hashtable_first(&w->origins, hashtable_hash(like, sizeof *like));

	while (slot->item && memcmp(slot->item, like, sizeof *like) != 0)
		slot = hashtable_next(&w->origins, slot);
	if (!slot->item) {
		struct result_origin *kept = memory_get(w->memory, sizeof *kept);
		*kept = *like;
		hashtable_put(&w->origins, slot, kept);
	}
	return slot->item;
}

void words_end(struct words *w)
{
	hashtable_release(&w->texts);
	hashtable_release(&w->origins);
}
