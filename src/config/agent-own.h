/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-own.h -- inside src/config: agents that somebody writes, as people start them: `venv/bin/python -m agent`, `python3 agent.py`,
 * `uv run agent.py`, with their source beside them.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "config/agent-program.h"

/* Relative places of SPEC, a file or table in FOLDER, as they are from anywhere; {folder} is that folder. */
void agent_anchor(json_t *spec, const char *folder);
/* Before its program is looked for: `uv run` becomes what it would start, a script beside the file its path; what `shows` names, and the
 * source that an environment is linked to, is shown and noted in `sources`. */
int agent_own_programs(json_t *spec, const struct programs *p, const char *folder,
		       struct err *err) MUST_CHECK;
/* When all is shown: refuse what argv and env name of this machine and the sandbox would not have. */
int agent_own_check(const json_t *spec, const struct programs *p, struct err *err) MUST_CHECK;
