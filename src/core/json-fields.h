/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json-fields.h -- private to core: flat structs to JSON objects and back, by tables of their fields.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include "base/err.h"

#define JSON_FIELDS_VERSION                                                                        \
	1 /* "v" of trial.json, agent.json and result.json; a higher one is refused   \
			*/

enum field_kind {
	FIELD_INT,     /* int */
	FIELD_INT64,   /* int64_t */
	FIELD_REAL,    /* double */
	FIELD_BOOL,    /* bool */
	FIELD_STR,     /* char *, owned; NULL is null */
	FIELD_TEXT,    /* char[size]: cut to fit */
	FIELD_DIGEST,  /* char[HASH_HEX]: 64 hex digits or "" */
	FIELD_KNOWN64, /* int64_t where -1 means unknown: null */
	FIELD_KNOWN,   /* double where a negative number means unknown: null */
};

struct json_field {
	const char *key;
	enum field_kind kind;
	bool required; /* in from_json: absent or null is an error */
	size_t offset, size;
};

#define JSON_FIELD(type, member, kind, required)                                                   \
	{                                                                                          \
#member, kind, required, offsetof(type, member), sizeof(((type *)0)->member)       \
	}

/* Set the members of OBJ from the struct at BASE. */
void json_fields_write(json_t *obj, const void *base, const struct json_field *fields, size_t n);
/* The reverse. Absent or null optional members leave the struct as it is (the known kinds become
 * unknown); another type is ERR_USAGE naming WHERE and the key. */
int json_fields_read(void *base, const struct json_field *fields, size_t n, const json_t *obj,
		     const char *where, struct err *err) MUST_CHECK;
/* J is an object whose "v" is one this program can read. */
int json_fields_check(const json_t *j, const char *where, struct err *err) MUST_CHECK;
/* Copy S (NULL: "") into a fixed array without cutting a character in two. */
void json_fields_copy(char *to, size_t size, const char *s);
