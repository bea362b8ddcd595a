/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * series.h -- what charts have side by side: each condition of each rollout, named by what tells it from the others. Private
 * to this room.
 */
#pragma once
#include "analysis/summary.h"

struct series {
	char *name; /* owned */
	const struct summary_condition *condition;
	const struct summary_group *group;
};

struct series_list {
	const struct summary *summary;
	struct series *v; /* by condition: as many as the summary has */
	size_t n;
};

void series_make(struct series_list *out, const struct summary *s);
void series_release(struct series_list *l);
