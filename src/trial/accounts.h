/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * accounts.h -- private to trial: what this attempt has at the gateway. There is one account for each role that asks
 * models, the agent and the graders' judge, each with a token, limits, logs and numbers of its own.
 */
#pragma once
#include "trial/work.h"

/* While we may still open everything: make the tokens of this attempt valid, with their logs (w->control, w->judge).
 * Roles that ask no model of the rollout's own gateway have no account. Blocks for a few seconds at most. */
int work_attach(struct work *w, struct err *err) MUST_CHECK;
/* When grading is over: what the judge's account came to, into w->result.judge. Without one, success. */
int work_judged(struct work *w, struct err *err) MUST_CHECK;
