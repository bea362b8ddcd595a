/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * accounts.h -- private to trial: the accounts of this attempt at the gateway. Each role that asks
 * models, the agent and the graders' judge, has one, with its own token, limits, logs and numbers.
 */
#pragma once
#include "trial/work.h"

/* Open them (w->control, w->judge): from now on the tokens are valid. To be called while we may still
 * open the gateway's socket, before we become the trial's user. Roles that ask no model of the
 * rollout's own gateway get none. Blocks for a few seconds at most. */
int work_attach(struct work *w, struct err *err) MUST_CHECK;
/* Close one; what is under way is ended. */
void work_leave_agent(struct work *w);
void work_leave_judge(struct work *w);
/* When grading is over: read the numbers of the judge's account into w->result.judge, and close it.
 * Success when there is none. */
int work_judged(struct work *w, struct err *err) MUST_CHECK;
