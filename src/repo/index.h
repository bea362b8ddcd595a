/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * index.h -- which paths a git index holds, read as data: the index is an agent's, and no git of ours
 * opens it. Versions 2 to 4, split or whole, ids of 20 or 32 bytes.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

struct index_names {
	struct buf text; /* the names, each ended by a NUL */
	const char **v;	 /* sorted */
	size_t n;
};

/* Read GIT_FD/index, where GIT_FD is a git directory (-1: none). What is damaged, too large or not a plain file
 * holds nothing. */
void index_read(struct index_names *out, int git_fd);
void index_release(struct index_names *x);

/* Whether it holds PATH; with a trailing slash: anything below. */
bool index_has(const struct index_names *x, const char *path);
