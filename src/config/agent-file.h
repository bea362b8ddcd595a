/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-file.h -- inside src/config: one agent's TOML file becomes JSON, checked against tables.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"
#include "config/toml.h"

/* Read PATH. The caller owns *out: the members as written, `models`, `requires` and `install` included, but for what
 * agent-layers.h puts apart and for files that are copied as they lie (agent-copies.h).
 * Issues are lines in ISSUES, "PATH:3:1: ..."; -1 with ERR_USAGE when there is any. */
int agent_file_read(json_t **out, const char *path, struct strv *issues,
		    struct err *err) MUST_CHECK;
/* The same of TABLE, [agents.NAME] of the benchmark at PATH. */
int agent_table_read(json_t **out, const char *path, const struct toml_node *table,
		     struct strv *issues, struct err *err) MUST_CHECK;
/* What a benchmark gives to each of its agents, whichever it is: of ROOT, the benchmark at PATH, those keys that agents have as
 * well (agent_is_around), as agent_file_read has them. A new reference. */
json_t *agent_around_read(const char *path, const struct toml_node *root, struct strv *issues);
bool agent_is_around(const char *key);
