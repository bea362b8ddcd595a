/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-retries.h -- a test whose time was up on a busy machine says little of the work it tested: at the end of a run such
 * gradings are made again, one at a time, as often as the benchmark allows (eval_retries).
 */
#pragma once
#include "rollout/session.h"

/* O as the trials of W were run with; END is told of an interruption. What is graded again is said to L. Blocks. */
int eval_retries_run(const struct session *s, const struct sched_options *o,
		     const struct listener *l, struct sched_end *end, struct err *err) MUST_CHECK;
