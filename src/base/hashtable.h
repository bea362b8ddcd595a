/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * hashtable.h -- finding things by what they are: a hash table of pointers to its caller's items. The caller hashes and compares;
 * nothing is ever taken out. A table of zeros is empty.
 *
 *	struct hashtable_slot *s = hashtable_first(&t, hash);
 *	while (s->item && !is_like(s->item, wanted))
 *		s = hashtable_next(&t, s);
 *	if (!s->item)
 *		hashtable_put(&t, s, wanted);
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct hashtable_slot {
	uint64_t hash;
	const void *item; /* NULL: free */
};

struct hashtable {
	struct hashtable_slot *v; /* open addressing; CAP is a power of two */
	size_t n, cap;
};

/* FNV-1a (Fowler, Noll, Vo), 64 bits. */
uint64_t hashtable_hash(const void *data, size_t n);
/* The first slot whose item has HASH, or the free one where such an item belongs. Slots move with each such call. */
struct hashtable_slot *hashtable_first(struct hashtable *t, uint64_t hash);
struct hashtable_slot *hashtable_next(const struct hashtable *t, const struct hashtable_slot *s);
/* S is free, and was found for ITEM's hash. */
void hashtable_put(struct hashtable *t, struct hashtable_slot *s, const void *item);
/* The items are their owner's. */
void hashtable_release(struct hashtable *t);
