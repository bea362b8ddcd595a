/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-env.h -- private to agent: where and with which variables an agent's commands run.
 */
#pragma once
#include "agent/agent.h"
#include "base/strv.h"

/* Set the whole environment of an agent in S: "K=V" each. */
void agent_env(struct strv *env, const struct agent_job *job, const struct sandbox *s);
/* The repository, or the task's part of it. The caller frees. */
char *agent_start_dir(const struct agent_job *job);
