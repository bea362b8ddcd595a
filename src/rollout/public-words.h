/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * public-words.h -- private to public.h: what of this machine is replaced, and by what.
 */
#pragma once
#include "rollout/public.h"

struct public_word {
	char *from, *to;
};

struct public_words {
	struct public_word *v; /* the longest first */
	size_t n, cap;
	unsigned without;
	struct strv allowed; /* that look like keys and are none */
	struct strv secrets; /* values of this process' variables that name credentials */
	json_t *digests;     /* old -> new */
};

/* Replace the words, passwords in URLs, and digests. True when something was replaced. */
bool public_words_replace(const struct public_words *w, struct buf *text);
