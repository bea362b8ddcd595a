/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-case.h -- one comparison with all that it is made of: the rollouts that operands name, and their sides.
 */
#pragma once
#include "analysis/compare.h"

struct compare_case {
	struct rollout *rollouts;
	size_t rollouts_n;
	struct strv names; /* of models, labels or agents of the first */
	struct compare_sides sides;
	struct comparison comparison;
};

struct compare_how {
	const char *data_dir, *baseline; /* baseline: as compare_sides_make() takes it */
	bool all;			 /* every rollout of each benchmark, read as one */
	struct compare_options options;
};

/* The first of OPERANDS is a rollout; the others are models, labels or agents of it, or rollouts. */
int compare_case_make(struct compare_case *out, const struct strv *operands,
		      const struct compare_how *how, struct err *err) MUST_CHECK;
void compare_case_release(struct compare_case *c);
