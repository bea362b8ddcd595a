/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-services.h -- private to agent: what runs in an agent's sandbox before it does, outside of its time.
 */
#pragma once
#include "agent/agent.h"

/* Run the commands of the spec's `before`, one after the other, and start its `services`, each until it is ready; they run on until
 * the agent ends. What fails, or is not ready in time, is ERR_INFRA: no fault of the agent's. */
int agent_services_start(const struct agent_job *job, struct sandbox *s,
			 struct err *err) MUST_CHECK;
