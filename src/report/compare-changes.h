/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-changes.h -- what people wrote down between two rollouts that are compared: the lines of CHANGES that one kept and the other
 * did not have yet. Private to this room.
 */
#pragma once
#include "analysis/compare.h"
#include "base/strv.h"
#include "report/doc.h"

/* Append the lines of the candidate's that are not in the baseline's, in their order; nothing where both are of one rollout. */
void compare_changes_lines(struct strv *out, const struct comparison *c,
			   const struct compare_pair *p);
/* The same for people, of each two rollouts once; those that only a baseline has, too. ALL: however many there are. */
void compare_changes_put(struct doc *d, const struct comparison *c, bool all);
