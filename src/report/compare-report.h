/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-report.h -- a comparison for people and for programs: what differs, the verdict, the tasks that changed.
 */
#pragma once
#include "analysis/compare.h"
#include "report/report.h"

/* Append it as TERMINAL, MARKDOWN, HTML or JSON; FORM->all_trials lists each task that changed, however many there are. */
void compare_report(struct buf *out, const struct comparison *c, const struct report_form *form);
/* Append its blocks to D. ALL: each task that changed. */
void compare_report_document(struct doc *d, const struct comparison *c, bool all);
/* Append the sentence of one verdict, plain. */
void compare_report_verdict_of(struct buf *out, const struct comparison *c,
			       const struct compare_pair *p);
/* Append the sentences of the verdicts alone, for a terminal of WIDTH columns. */
void compare_report_verdicts(struct buf *out, const struct comparison *c, int width);
/* The verdict or why there is none, in a word: "better", "worse", "equivalent", "not decided". */
const char *compare_report_verdict(enum stats_verdict v);
const char *compare_report_gate(enum stats_gate g); /* "pass", "fail", "inconclusive" */
