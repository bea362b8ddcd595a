/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * form.h -- private to core: the JSON forms of flat structs as tables of fields.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include "base/err.h"

#define FORM_VERSION                                                                               \
	1 /* "v" of trial.json, agent.json and result.json; a higher one is refused   \
			*/

enum form_kind {
	FORM_INT,     /* int */
	FORM_INT64,   /* int64_t */
	FORM_REAL,    /* double */
	FORM_BOOL,    /* bool */
	FORM_STR,     /* char *, owned; NULL is null */
	FORM_TEXT,    /* char[size]: cut to fit */
	FORM_DIGEST,  /* char[HASH_HEX]: 64 hex digits or "" */
	FORM_KNOWN64, /* int64_t where -1 means unknown: null */
	FORM_KNOWN,   /* double where a negative number means unknown: null */
};

struct form_field {
	const char *key;
	enum form_kind kind;
	bool required; /* in from_json: absent or null is an error */
	size_t offset, size;
};

#define FORM_FIELD(type, member, kind, required)                                                   \
	{                                                                                          \
#member, kind, required, offsetof(type, member), sizeof(((type *)0)->member)       \
	}

/* Set the members of OBJ from the struct at BASE. */
void form_write(json_t *obj, const void *base, const struct form_field *fields, size_t n);
/* The reverse. Absent or null optional members leave the struct as it is (the known kinds become
 * unknown); another type is ERR_USAGE naming WHERE and the key. */
int form_read(void *base, const struct form_field *fields, size_t n, const json_t *obj,
	      const char *where, struct err *err) MUST_CHECK;
/* J is an object whose "v" is one this program can read. */
int form_check(const json_t *j, const char *where, struct err *err) MUST_CHECK;
/* Copy S (NULL: "") into a fixed array without cutting a character in two. */
void form_copy(char *to, size_t size, const char *s);
