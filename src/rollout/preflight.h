/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * preflight.h -- before the first trial and before money is spent, the tests of each task run once on its untouched
 * start commit, in the sandbox that its trials have: a tool that is not there would otherwise be a score of 0 that
 * nobody can tell from a wrong answer. Asked of a sandbox in which no agent was, since an agent could choose what its
 * tests print. What went well is kept by task and sandbox in DATA_PREFLIGHT.
 */
#pragma once
#include "rollout/session.h"

/* Try the tasks of W's items that are graded; L hears what is remarkable of them. ERR_INFRA when some test cannot run
 * here, naming it, the tool and the remedy; ERR_CANCELLED when interrupted. A fault that may pass, or that the trials
 * will tell of without a score, is none. Blocks: as long as the slowest grading takes, at least. */
int preflight_run(struct session *s, const struct listener *l, const struct session_work *w,
		  struct err *err) MUST_CHECK;
