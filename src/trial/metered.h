/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * metered.h -- private to trial: an agent whose model calls the gateway counts. The gateway has a say in when the
 * agent ends, and its numbers go into the result.
 */
#pragma once
#include "trial/work.h"

/* The gateway's say in when the agent ends, counted from now; NULL without one. */
const struct sandbox_watch *work_watch(struct work *w);
/* How long an agent may run by the wall's clock, waiting included; 0: no end. */
int64_t work_agent_ms(const struct work *w);
/* The agent has ended: the gateway's numbers, and what its no makes of the outcome. -1: the attempt does not
 * count (ERR_INFRA, or w->diverged). */
int work_metered(struct work *w, struct err *err) MUST_CHECK;
