/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * journal-cost.h -- what model calls have cost a rollout, over all its supervisors: the last "spent" line of its journal.
 */
#pragma once
#include <stdint.h>

struct journal_cost {
	int64_t calls, tokens, unpriced_calls;
	double usd;
};
