/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * summary-groups.h -- part of summary_make: what sets of trials come to. Private to this room.
 */
#pragma once
#include "analysis/summary.h"

/* Of the rows, conditions and clusters of S; MODELS: how many groups of models its conditions name. */
void summary_groups_make(struct summary *s, size_t models);
