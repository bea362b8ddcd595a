/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * issues.h -- collecting every issue of a task folder in one go, each as one line naming the
 * file and the place in it, and checking the shape of JSON objects against tables.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include "base/strv.h"

#define ISSUES_MAX 100 /* lines kept of one task; the rest is counted */

struct issues {
	struct strv *lines; /* borrowed */
	size_t n;
};

/* A place in a document, from the inside out. KEY NULL: item I of an array. */
struct at {
	const struct at *up;
	const char *key;
	size_t i;
};
#define AT(up_, key_) (&(const struct at){(up_), (key_), 0})
#define AT_ITEM(up_, i_) (&(const struct at){(up_), NULL, (i_)})

/* "FILE: repo.sparse_checkout[2]", owned by the caller; may stand for FILE below, with no AT. */
char *issues_place(const char *file, const struct at *at);
/* "FILE: repo.sparse_checkout[2]: MESSAGE"; control characters are shown as escapes. AT_ may be
 * NULL. */
void issues_add(struct issues *m, const char *file, const struct at *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same line into any list: for notes, which are no issues. */
void issues_note(struct strv *notes, const char *file, const struct at *at, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* LINE as it is, which names its place itself. */
void issues_line(struct issues *m, const char *line);

enum shape {
	SHAPE_STRING, /* without NUL */
	SHAPE_TEXT,   /* a string that may hold anything */
	SHAPE_NUMBER, /* finite, not negative */
	SHAPE_BOOL,
	SHAPE_POINTS,	 /* finite, of either sign, not 0 */
	SHAPE_LIST,	 /* of anything */
	SHAPE_STRINGS,	 /* list of strings without NUL */
	SHAPE_OBJECT,	 /* of anything */
	SHAPE_TEXTS,	 /* object of texts */
	SHAPE_VARIABLES, /* object of strings and whole numbers */
	SHAPE_OBJECTS,	 /* list of objects */
};

struct member {
	const char *key;
	enum shape shape;
};

enum unknown {
	UNKNOWN_FINE,
	UNKNOWN_NEAR, /* wrong when it looks like a mistyped member that is absent */
	UNKNOWN_WRONG,
};

/* Check that each member of OBJ has the shape the table gives it; null counts as absent. MEMBERS
 * ends with a NULL key. Returns whether all is well. */
bool issues_check(struct issues *m, const char *file, const struct at *at, const json_t *obj,
		  const struct member *members, enum unknown unknown);
