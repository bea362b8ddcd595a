/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-measures.h -- the numbers that tests wrote, on both sides of a comparison: paired like scores, task by task.
 * There is no verdict, since nobody here knows whether more is better. A trial without the number is left out.
 */
#pragma once
#include "analysis/compare.h"

struct compare_measure {
	const char *name;		    /* borrowed from the rollouts */
	double candidate, baseline;	    /* means over the tasks that both have it for */
	struct stats_difference difference; /* in the number's own unit; for tasks like these */
	bool self_reported;		    /* in some trial */
};

struct compare_measures {
	struct compare_measure
		*v; /* those that at least one task of both sides has, in order of appearance */
	size_t n, cap;
};

/* C must outlive *OUT. */
void compare_measures_make(struct compare_measures *out, const struct comparison *c,
			   const struct compare_pair *p);
void compare_measures_release(struct compare_measures *m);

static inline void auto_compare_measures(struct compare_measures *m)
{
	compare_measures_release(m);
}
