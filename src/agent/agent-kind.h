/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-kind.h -- private to agent: the kinds of agent behind agent_run.
 */
#pragma once
#include "agent/agent.h"

struct agent_kind {
	const char *name; /* as in the spec */
	/* As agent_run. OUT comes as a completed run with all its numbers unknown. */
	int (*run)(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
		   struct err *err);
};

extern const struct agent_kind agent_nop, agent_oracle, agent_cli, agent_bash, agent_import;

/* End as OUTCOME with a reason made safe for one line of a terminal. */
void agent_end(struct agent_record *out, enum outcome outcome, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* OVER, an array or an object, or NULL for nothing, after or over what SPEC has as KEY. */
void agent_lay(json_t *spec, const char *key, const json_t *over);
/* The API dialect of this trial: "" where the agent's file names none. */
const char *agent_api(const struct attempt *a);
/* When the job has to end, as things stand now (clock_mono_ms; 0: never). */
int64_t agent_deadline(const struct agent_job *job);
