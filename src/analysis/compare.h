/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare.h -- is one side better than another, on the tasks that both have? Tasks are paired; what is compared are
 * the means of their rollouts. The arithmetic and its reasons are stats/paired.h. Nothing is rendered here.
 *
 * Trials without a score could have had any. So a verdict must be the same when all that the candidate misses scored 0
 * and all that the baseline misses scored 1, and the other way round.
 */
#pragma once
#include "analysis/compare-sides.h"
#include "analysis/summary.h"
#include "stats/paired.h"

/* The difference that the number of tasks needed is told for. */
#define COMPARE_EFFECT 0.05

enum compare_missing { COMPARE_BOUNDS, COMPARE_ZERO, COMPARE_DROP };
/* Offered beside the verdict, which never rests on it. */
enum compare_test { COMPARE_NO_TEST, COMPARE_T, COMPARE_SIGN_FLIP, COMPARE_MCNEMAR };

struct compare_options {
	double level;
	double margin; /* 0: none */
	enum compare_missing missing;
	enum compare_test test;
	enum summary_question question;
	const char *cluster; /* as of summary_options */
};

/* What differs between the sides beside what is compared. */
struct compare_difference {
	const char *what;	    /* static: "task hash", "sandbox", "limits.timeout_ms" */
	char *candidate, *baseline; /* owned; of the first task that differs */
	size_t tasks;		    /* that differ; 0: it is of the rollout as a whole */
};

/* A paired task whose mean is not the same on both sides. */
struct compare_flip {
	const char *task;
	double candidate, baseline; /* means over the scored rollouts */
	const struct trial_status *candidate_run, *baseline_run; /* those that show it best */
};

enum compare_reason {
	COMPARE_DECIDED,
	COMPARE_TOO_FEW,   /* fewer than two paired tasks */
	COMPARE_UNCERTAIN, /* the interval leaves it open */
	COMPARE_MISSING,   /* missing trials could change it */
	COMPARE_CORRECTED, /* it would be decided if it were the only comparison */
	COMPARE_STILL_RUNS,
	COMPARE_ONE_ROLLOUT, /* these tasks are asked about, and one has a single rollout */
};

struct compare_pair {
	size_t candidate, baseline; /* sides */
	struct stats_difference
		difference; /* as options.missing counts; with bounds: of what is scored */
	/* The candidate's missing trials 0 and the baseline's 1; the other way round. Only with bounds. */
	struct stats_difference worst, best;
	size_t only_candidate, only_baseline;  /* tasks that the other side was not planned to do */
	size_t unpaired;		       /* tasks of both without a score on one */
	size_t missing;			       /* trials of tasks of both */
	size_t excluded;		       /* of them by somebody's choice */
	struct stats_difference with_excluded; /* if those counted; when there are any */
	double p_holm;	     /* p, adjusted for all comparisons made; of the less certain bound */
	double tasks_needed; /* for COMPARE_EFFECT; NaN */
	enum stats_verdict verdict;
	enum compare_reason reason;
	enum stats_gate gate;		    /* inconclusive without a margin */
	double gate_chance;		    /* that it passes when both sides are equal; NaN */
	double test_p, test_low, test_high; /* of options.test; NaN where it does not apply */
	struct compare_difference *differences;
	size_t differences_n;
	struct compare_flip *flips; /* regressions first, the greatest change of each kind first */
	size_t flips_n, regressions;
};

struct compare_standing {
	struct tally tally;
	size_t tasks;		      /* with a score */
	double mean;		      /* over them; NaN */
	size_t solved;		      /* trials with a full score */
	double tokens, wall_ms;	      /* of a trial, on average; NaN: not known */
	size_t tokens_n, wall_n;      /* of how many */
	double money_usd;	      /* -1: not known, or not of all calls */
	size_t rank_best, rank_worst; /* 0: not all pairs were compared */
};

struct comparison {
	struct compare_options options;
	const struct compare_sides *sides;
	struct compare_standing *standings; /* one per side */
	struct compare_pair *pairs;
	size_t pairs_n;
	bool live; /* a rollout of a side still runs */
	struct summary summary;
};

/* Compare SIDES, of ROLLOUTS; both must outlive *OUT. */
void compare_make(struct comparison *out, const struct compare_sides *sides,
		  const struct rollout *rollouts, size_t n, const struct compare_options *options);
void compare_release(struct comparison *c);
/* The gate over all pairs: fail when one fails, pass when all pass. */
enum stats_gate compare_gate(const struct comparison *c);

static inline void auto_comparison(struct comparison *c)
{
	compare_release(c);
}
