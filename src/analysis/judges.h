/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judges.h -- who judged the trials of a rollout, in which ways, and how far the votes on each rubric agree.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "store/store.h"

/* A model asked in one way. */
struct judges_way {
	const char *model, *prompt; /* borrowed from the rollout */
	size_t trials;
};

/* A rubric with several votes on each trial. */
struct judges_rubric {
	const char *id; /* borrowed */
	size_t trials;	/* with two votes at least that have a score */
	double alpha;	/* Krippendorff's, of intervals; NAN: nothing varies */
	double spread;	/* mean over trials of the highest vote less the lowest */
	double *values; /* private */
	size_t n, cap;
};

struct judges {
	struct judges_way *ways;
	size_t ways_n, ways_cap;
	struct judges_rubric *rubrics; /* in order of appearance */
	size_t rubrics_n, rubrics_cap;
	size_t judged, met; /* rubrics of trials with a score, and those of one half at least */
	double alpha; /* over all rubrics and trials; NAN: nobody voted twice, or nothing varies */
	/* The standard error that the votes' spread leaves in the mean of what the judge says, rubrics of a trial and
	 * trials counting alike; NAN: nobody voted twice. It is part of what trials differ by, never to be added to that. */
	double se;
};

void judges_make(struct judges *out, const struct rollout *r);
void judges_release(struct judges *j);

/* The share of rubrics that are met, corrected by how the judge did on examples that people have graded. */
struct judges_corrected {
	bool known; /* there was something to correct, and examples of both kinds */
	double sensitivity, specificity, examples;
	double theta, low, high; /* NAN: the judge does no better than chance */
};
/* By what `rollouts judge check` kept below the data folder of R, of which J is. */
struct judges_corrected judges_correct(const struct judges *j, const struct rollout *r,
				       double level);

static inline void auto_judges(struct judges *j)
{
	judges_release(j);
}
