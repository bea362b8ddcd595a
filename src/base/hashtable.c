/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/hashtable.h"
#include <stdlib.h>
#include "base/mem.h"

uint64_t hashtable_hash(const void *data, size_t n)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const unsigned char *)data)[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

static struct hashtable_slot *from(const struct hashtable *t, size_t i, uint64_t hash)
{
	for (i &= t->cap - 1; t->v[i].item && t->v[i].hash != hash;)
		i = (i + 1) & (t->cap - 1);
	return &t->v[i];
}

/* Half of it stays free, so that a search ends soon. */
static void make_room(struct hashtable *t)
{
	struct hashtable larger = {.n = t->n, .cap = t->cap ? 2 * t->cap : 64};

	if (2 * t->n < t->cap)
		return;
	larger.v = xcalloc(larger.cap, sizeof *larger.v);
	for (size_t i = 0; i < t->cap; i++) {
		if (!t->v[i].item)
			continue;
		struct hashtable_slot *to = from(&larger, t->v[i].hash, t->v[i].hash);
		while (to->item)
			to = hashtable_next(&larger, to);
		*to = t->v[i];
	}
	free(t->v);
	*t = larger;
}

struct hashtable_slot *hashtable_first(struct hashtable *t, uint64_t hash)
{
	make_room(t);
	struct hashtable_slot *s = from(t, hash, hash);
	if (!s->item)
		s->hash = hash;
	return s;
}

struct hashtable_slot *hashtable_next(const struct hashtable *t, const struct hashtable_slot *s)
{
	const uint64_t hash = s->hash;
	struct hashtable_slot *next = from(t, (size_t)(s - t->v) + 1, hash);

	if (!next->item)
		next->hash = hash;
	return next;
}

void hashtable_put(struct hashtable *t, struct hashtable_slot *s, const void *item)
{
	s->item = item;
	t->n++;
}

void hashtable_release(struct hashtable *t)
{
	free(t->v);
	*t = (struct hashtable){0};
}
