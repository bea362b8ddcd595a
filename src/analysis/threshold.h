/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * threshold.h -- a gate without a baseline: whether a mean is at least what somebody asks for. A trial that is missing leaves
 * that open, however well the others did; what it could not change any more is decided. Pure.
 */
#pragma once
#include "analysis/summary.h"

struct threshold {
	const char *text;  /* the number as it was written; borrowed, as is all of this */
	char *kind, *name; /* "tag", "hard": of those alone; owned. NULL: of everything */
	double at_least;
	bool each_task; /* of each task under each condition, not of the mean over tasks */
};
/* "0.8" or "KIND:NAME=0.8", KIND as summary_by_name(). */
int threshold_parse(struct threshold *out, const char *words, bool each_task,
		    struct err *err) MUST_CHECK;
void threshold_release(struct threshold *t);

enum threshold_verdict { THRESHOLD_PASS, THRESHOLD_FAIL, THRESHOLD_OPEN };
const char *threshold_verdict_name(enum threshold_verdict v); /* "pass", "fail", "inconclusive" */

/* One number that was compared. */
struct threshold_line {
	const struct threshold *of;
	char *what; /* "gpt-5, tag hard"; owned */
	enum threshold_verdict verdict;
	double mean, low; /* NAN: none; LOW is the lower end of its interval */
	bool by_low;	  /* that was compared */
	size_t missing, planned;
};
struct threshold_lines {
	struct threshold_line *v;
	size_t n, cap;
};

/* Append a line for each model (with its label and agent, where those are several), or each task, that T is about. CONFIDENT: the lower end of the interval has to be as high. ERR_USAGE
 * when there is nothing of T's kind and name. */
int threshold_check(struct threshold_lines *out, const struct threshold *t, bool confident,
		    const struct rollout *r, const struct summary_options *options,
		    struct err *err) MUST_CHECK;
void threshold_lines_release(struct threshold_lines *l);
/* One that fails decides; then one that is open. */
enum threshold_verdict threshold_worst(const struct threshold_lines *l);
