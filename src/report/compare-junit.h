/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-junit.h -- comparisons as JUnit's XML, for programs that show test results. A comparison is a test case: with
 * a margin it fails when its gate does, and is an error while that is open; without one it fails when the candidate is
 * worse.
 */
#pragma once
#include "analysis/compare.h"
#include "base/buf.h"

void compare_junit_begin(struct buf *out);
/* ADVISES: nothing of it fails. */
void compare_junit_suite(struct buf *out, const struct comparison *c, bool advises);
void compare_junit_end(struct buf *out);
