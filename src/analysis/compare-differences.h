/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-differences.h -- what else differs between two sides whose tasks are compared. Private to this room.
 */
#pragma once
#include "analysis/compare.h"

struct compare_differences {
	struct compare_difference *v;
	size_t n, cap;
};

/* The rollouts as a whole: another config, another program. */
void compare_differences_rollouts(struct compare_differences *out, const struct rollout *candidate,
				  const struct rollout *baseline);
/* Two agents of different names, by what each is: a row for each kind of thing that it is told. */
void compare_differences_agents(struct compare_differences *out, const struct rollout *candidate,
				const char *agent, const struct rollout *baseline,
				const char *other);
/* A trial of each side of one task. */
void compare_differences_trials(struct compare_differences *out,
				const struct trial_status *candidate,
				const struct trial_status *baseline);
