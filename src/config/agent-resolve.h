/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-resolve.h -- inside src/config: where the programs of an agent are on this machine, and what a sandbox is shown of them.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "config/agents.h"

/* Fill in `mounts`, `path`, `version`, `tree` and the like (agent/agent.h), and write argv as a sandbox has it. SPEC is as agent_read
 * gives it for Q, with its `stem` and `pin`; PATH is where its last base is. -1 with ERR_USAGE. */
int agent_find_programs(json_t *spec, const char *path, const struct agent_query *q,
			struct err *err) MUST_CHECK;
