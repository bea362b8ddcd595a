/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-file-checks.h -- inside src/config, private to agent-file: tables of what the tables of an agent's file may hold.
 */
#pragma once
#include <stdbool.h>
#include "base/strv.h"
#include "config/toml.h"

struct reader {
	const char *path;
	struct strv *issues;
};

struct member {
	const char *name;
	/* Check N, which is called NAME. */
	void (*check)(const struct reader *r, const struct toml_node *n, const char *name);
	const char *const *choices; /* of check_choice */
	bool required;
};

/* Note an issue at a place of the file. */
void file_complain(const struct reader *r, int line, int col, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Whether N is of KIND; else it is complained of by NAME. */
bool file_expect(const struct reader *r, const struct toml_node *n, enum toml_kind kind,
		 const char *name);
bool file_is_scalar(const struct toml_node *n);
void file_string(const struct reader *r, const struct toml_node *n, const char *name);
void file_choice(const struct reader *r, const struct toml_node *n, const char *name,
		 const char *const *choices);
/* TABLE, called WHAT, has members of MEMBERS alone, and those that are required. */
void file_members(const struct reader *r, const struct toml_node *table,
		  const struct member *members, const char *what);
/* agent-file-output.c */
void file_output(const struct reader *r, const struct toml_node *n, const char *name);
