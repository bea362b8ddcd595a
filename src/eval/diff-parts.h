/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * diff-parts.h -- private to eval: a diff of git's as its files, and as much of it as a model is to be shown, cut between
 * files. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/strv.h"

struct diff_part {
	const char *text; /* from "diff --git" to before the next; borrowed */
	size_t len;
	char *path;			 /* after the change, else before it; owned */
	bool binary, is_new, executable; /* the last: now, and not before */
	size_t added, removed;		 /* lines */
};

struct diff_parts {
	struct diff_part *v;
	size_t n, cap;
};

/* OUT's texts point into DIFF. */
void diff_parts_read(struct diff_parts *out, const char *diff, size_t len);
void diff_parts_release(struct diff_parts *p);
/* Whether a line that was added or taken away holds WORD. */
bool diff_part_changes(const struct diff_part *p, const char *word);

/* Append at most about MAX bytes of P: whole files in their order; contents of binary ones are left out. Where they are
 * more, files that NAMED names and then tests are kept before the others; the first one alone may be cut within. CUT
 * gets a line for each that is not whole. */
void diff_parts_show(const struct diff_parts *p, size_t max, const struct strv *named,
		     struct buf *out, struct strv *cut);
