/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * memory.h -- what the trials of a rollout point at: strings and structs, most of which many of them share. It grows
 * only, and is released as a whole.
 */
#pragma once
#include <stddef.h>
#include "base/hashtable.h"
#include "core/trial.h"

struct rollout_memory {
	void **blocks;
	size_t blocks_n, blocks_cap;
	char *free; /* of the last block */
	size_t left;
	struct trial **trials; /* released one by one */
	size_t trials_n, trials_cap;
};

/* SIZE bytes, aligned for any type, not zeroed. */
void *memory_get(struct rollout_memory *m, size_t size);
/* The N bytes of TEXT and a NUL; TEXT NULL: room for them, and the NUL. */
char *memory_text(struct rollout_memory *m, const char *text, size_t n);
/* BLOCK was malloc()ed. */
void memory_take(struct rollout_memory *m, void *block);
/* T with all that it owns. */
struct trial *memory_trial(struct rollout_memory *m, struct trial *t_take);
/* All of FROM, which is empty then. */
void memory_join(struct rollout_memory *m, struct rollout_memory *from);
void memory_release(struct rollout_memory *m);

/* Texts and structs that come again and again, each held once, while a rollout is read. */
struct words {
	struct rollout_memory *memory;
	struct hashtable texts, origins;
};

/* NULL for NULL and "". */
const char *words_text(struct words *w, const char *text);
struct result_origin;
const struct result_origin *words_origin(struct words *w, const struct result_origin *like);
void words_end(struct words *w);
