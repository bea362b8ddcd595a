/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * history.h -- how long trials take: as those of an earlier rollout did, or by a distribution.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "store/planfile.h"
#include "store/store.h"

enum duration_kind {
	DURATIONS_HISTORY,
	DURATIONS_LOGNORMAL,
	DURATIONS_EXPONENTIAL,
	DURATIONS_FIXED
};

struct task_times {
	char *task_id;
	double *sec; /* of each attempt that finished */
	size_t n, cap;
};

struct durations {
	enum duration_kind kind;
	double median_sec, sigma; /* of the logarithm; exponential: median_sec is the mean */
	/* Of history. */
	struct task_times *tasks;
	size_t tasks_n, tasks_cap;
	struct task_times all;
	double failures; /* share of attempts that ended as infra_error */
	double usd;	 /* mean of those that finished; 0: not known */
	double calls;	 /* model calls, likewise */
};

/* "history", "lognormal(MEDIAN_SEC, SIGMA)", "exponential(MEAN_SEC)" or "fixed(SEC)". Of history the rest is filled by durations_read. */
int durations_parse(struct durations *out, const char *text, struct err *err) MUST_CHECK;
/* What the attempts of a rollout took. ERR_USAGE when none of them finished. */
int durations_read(struct durations *d, const struct store *s, const struct rollout_ref *ref,
		   struct err *err) MUST_CHECK;
/* Of the TRY-th attempt of trial INDEX of task TASK_ID: the same for the same arguments. */
double durations_draw(const struct durations *d, const char *task_id, uint64_t seed, size_t index,
		      int try);
/* What is expected of a task, to begin with the longest. */
double durations_expect(const struct durations *d, const char *task_id);
/* Evenly between 0 and 1, never either of them; the same for the same arguments. */
double durations_chance(uint64_t seed, uint64_t index, uint64_t which);
void durations_release(struct durations *d);
