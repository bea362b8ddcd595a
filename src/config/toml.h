/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * toml.h -- a TOML 1.0 document as a plain tree whose every node knows its line and column. The
 * parser is toml++, behind toml-shim.cc, the only C++ in the program; no exception leaves it.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum toml_kind { TOML_STRING, TOML_INT, TOML_REAL, TOML_BOOL, TOML_TIME, TOML_ARRAY, TOML_TABLE };

struct toml_node {
	enum toml_kind kind;
	int line, col; /* of the value, from 1; of a [table], its header */
	char *key;     /* in a table; NULL in an array and at the root */
	int key_line, key_col;
	char *text;		 /* TOML_STRING, without NUL bytes inside */
	int64_t integer;	 /* TOML_INT */
	double real;		 /* TOML_REAL, and TOML_INT as such */
	bool boolean;		 /* TOML_BOOL */
	struct toml_node *items; /* of an array, or of a table in the order of the file */
	size_t n;
};

struct toml_error {
	int line, col;
	char msg[400]; /* one line */
};

/* The root table, to be given to toml_free; NULL with *error filled otherwise. */
struct toml_node *toml_parse(const char *text, size_t len, struct toml_error *error);
void toml_free(struct toml_node *root);
/* The member KEY of a table, or NULL. */
const struct toml_node *toml_get(const struct toml_node *table, const char *key);
/* N as JSON, a new reference: times are texts, and so is a number that JSON does not have, "inf" or "nan", which whoever wants a number
 * refuses. */
json_t *toml_to_json(const struct toml_node *n);
const char *toml_kind_name(enum toml_kind k); /* "a string", "a table" ... */

#ifdef __cplusplus
}
#endif
