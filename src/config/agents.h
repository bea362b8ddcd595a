/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agents.h -- agent names become agent specs (the JSON of src/agent/agent.h). NAME.toml is looked
 * for in the folder agents/ beside the benchmark file, then in the user's configuration folder
 * ($XDG_CONFIG_HOME/rollouts/agents, ~/.config/rollouts/agents), then in share/agents.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"

/* True of nop and oracle: they need no file and no model. */
bool agent_is_builtin(const char *name);

/* The names of all agent files (nop, oracle and bash need none), each once, in the order in which they are looked for. */
void agent_names(const char *config_path, struct strv *names);

/* The agent that "auto" means for MODEL: the first file one of whose `models` globs matches, else
 * the usual one for such a name. The caller frees. */
char *agent_for_model(const char *model, const char *config_path);

/* The member of `variants` that is no variant: what the benchmark gives to each agent, {mcp, services, before}. */
#define AGENT_AROUND ""

struct agent_query {
	const char
		*name; /* never "auto"; "NAME@VERSION" asks for that version of what is fetched */
	const char *config_path; /* of the benchmark, or NULL */
	const json_t *variants; /* of its tables [agents.NAME]: struct bench has them; NULL: none */
};

/* NAME of "NAME@VERSION"; the caller frees. *VERSION is within WHAT, NULL where none is asked for. */
char *agent_bare_name(const char *what, const char **version);

/* Whether it is built in or has a file; *err says where it was looked for. */
int agent_exists(const struct agent_query *q, struct err *err) MUST_CHECK;

/* What an agent is before its programs are looked for: its file, or the table of the benchmark, with what it is a variant of,
 * checked, and where the last of its bases is (*path NULL: built in); both owned by the caller. Errors as of agent_find. */
int agent_read(json_t **file, char **path, const struct agent_query *q, struct strv *issues,
	       struct err *err) MUST_CHECK;

/* Find, check and resolve: its program is the version that its file, or the query, names, as `rollouts agents install` fetched it;
 * what names no version is looked for on PATH.
 * The caller owns *spec. Issues inside a file are lines in ISSUES with their place; a missing file or
 * program is told in *err alone. -1 with ERR_USAGE either way. */
int agent_find(json_t **spec, const struct agent_query *q, struct strv *issues,
	       struct err *err) MUST_CHECK;
