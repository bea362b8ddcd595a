/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-file.h -- inside src/config: one agent's TOML file becomes JSON, checked against tables.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/strv.h"

/* Read PATH. The caller owns *out: the members as written, `models`, `requires` and `install` included.
 * Issues are lines in ISSUES, "PATH:3:1: ..."; -1 with ERR_USAGE when there is any. */
int agent_file_read(json_t **out, const char *path, struct strv *issues,
		    struct err *err) MUST_CHECK;
