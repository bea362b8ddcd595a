/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * evaluation.h -- the evaluations of a rollout, side by side: evaluations/1 is what the run itself came to, each `eval` adds
 * one. One that was cut short goes on when the same is asked for again.
 *
 *   evaluations/N/evaluation.json  {v, number, state: running | complete, begun_at, ended_at, asked, attempts}
 *   evaluations/N/before.jsonl     the scores that it found, one trial a line
 *   evaluations/N/scores.jsonl     and those that it left
 */
#pragma once
#include "rollout/regrade.h"

struct evaluation_asked {
	const struct strv
		*only; /* globs over task ids, folders' names, task_dirs and run ids; none: all */
	bool judge_only, tests_only;
	json_t *ratings;	       /* as ratings_read has them; NULL: none */
	const char *config;	       /* --config, or NULL */
	const struct regrade *regrade; /* of that; NULL: as planned */
};

struct evaluation_run {
	int number;
	size_t done; /* trials that an earlier call of the same evaluation has graded */
	json_t *doc;
	json_t *before; /* array of score lines */
};

/* How many trials of S can never be graded again: those of Harbor tasks. */
size_t evaluation_without(const struct session *s);
/* Fill ITEMS with what is to be graded and how; *ASKED gets the number of trials that were meant. ERR_USAGE when --only matches
 * nothing. */
int evaluation_items(struct sched_item *items, size_t *n, size_t *asked, const struct session *s,
		     const struct evaluation_asked *a, struct err *err) MUST_CHECK;
/* Begin an evaluation, or go on with the last one: then those of ITEMS that have their grade are taken out, and OK says so.
 * OUT must be released in any case. */
int evaluation_begin(struct evaluation_run *out, const struct session *s,
		     const struct evaluation_asked *a, struct sched_item *items, size_t *n,
		     bool *ok, struct err *err) MUST_CHECK;
/* Write what it came to; *AFTER, which the caller owns, are the score lines now. COMPLETE: nothing of it is missing. */
int evaluation_end(struct evaluation_run *e, const struct session *s, bool complete, json_t **after,
		   struct err *err) MUST_CHECK;
void evaluation_run_release(struct evaluation_run *e);
