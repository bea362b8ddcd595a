/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-flips.h -- the tasks that changed between two sides, for people. Private to this room.
 */
#pragma once
#include "analysis/compare.h"
#include "report/doc.h"
#include "report/failed-test.h"

/* ALL: however many there are. */
void compare_flips_put(struct doc *d, const struct comparison *c, const struct compare_pair *p,
		       bool all);
/* The first test that the worse side of F failed; false: none is known. */
bool compare_failed_test(struct failed_test *out, const struct comparison *c,
			 const struct compare_pair *p, const struct compare_flip *f);
