/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * metered.h -- private to trial: an agent with an account at the gateway. While the agent runs, what the
 * gateway reports (time spent waiting, a limit reached, a failure) decides when it has to end; when it
 * has ended, the gateway's numbers go into the result.
 */
#pragma once
#include "trial/work.h"

/* For sandbox_exec: moves the agent's deadline by what the gateway reports. The agent's time starts
 * now. NULL: it has no account. */
const struct sandbox_watch *work_watch(struct work *w);
/* How long the agent may run at most, time spent waiting for the provider included; 0: no end. */
int64_t work_agent_ms(const struct work *w);
/* The agent has ended: take the gateway's numbers, and set the outcome where a limit was reached or the
 * model could not be asked. -1: the attempt does not count (ERR_INFRA, or w->diverged). */
int work_metered(struct work *w, struct err *err) MUST_CHECK;
/* What the agent's calls came to so far, of a struct work (struct agent_job's usage). False: the gateway is gone. */
bool work_usage(void *work, struct model_usage *out);
