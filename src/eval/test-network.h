/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * test-network.h -- private to eval: whether tests ask for a network that is not there.
 */
#pragma once
#include "eval/eval.h"

/* How often something in S, which has no network, asked for one: packets without a way, names asked of nobody. Runs a command
 * in it. */
int test_network_attempts(const struct eval_job *job, struct sandbox *s, int64_t *attempts,
			  struct err *err) MUST_CHECK;
