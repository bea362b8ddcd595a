/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * phase-agent.h -- private to trial: from a task to an agent's work, committed in agent.json. It fills
 * w->result.agent.
 */
#pragma once
#include "trial/work.h"

/* Run the agent, collect what it left, take the diff, commit. */
int work_agent(struct work *w, struct err *err) MUST_CHECK;
/* In place of that: take over what attempt.agent_from committed, which must be as it was then. */
int work_take_over(struct work *w, struct err *err) MUST_CHECK;
