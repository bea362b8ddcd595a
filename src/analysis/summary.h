/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * summary.h -- what the trials of one or several rollouts come to, in numbers; nothing is rendered here.
 *
 * A condition is what a trial was run under: its rollout, model, label and agent. A cell is one task
 * under one condition: the trials that differ in chance alone. A group is a set of conditions: a model, a
 * model with a label and an agent, everything. A group's mean is over task means.
 *
 * A missing trial (infra_error, cancelled, not run) is in no mean and never counts as a zero.
 */
#pragma once
#include <jansson.h>
#include "stats/mean.h"
#include "store/store.h"

/* What an interval covers unless somebody asks for more or less. */
#define SUMMARY_LEVEL 0.95

enum standing {
	STANDING_SCORED,
	STANDING_UNSCORED, /* has a result, but nothing graded it */
	STANDING_MISSING,  /* has no result to count */
};

struct summary_row {
	const struct trial_status *status;
	int task, condition; /* in order of appearance; a task is the same one in every rollout */
	enum standing standing;
	const char *outcome; /* "completed" ... "not run", "running", "interrupted"; static */
};

struct tally {
	size_t planned, scored, unscored, missing;
	size_t replaced; /* of the scored: they replace an earlier result, whose outcome somebody did not want */
	size_t first_tries; /* scored when the first result counts of each trial, and not the last */
};

struct summary_cell {
	int task, condition;
	size_t first; /* of the rows; tally.planned of them */
	struct tally tally;
	double sum, max;  /* of the scores */
	double first_sum; /* of the first tries */
	struct stats_mean over_rollouts;
};

struct summary_condition {
	const struct rollout *rollout;
	const char *model, *label, *agent; /* never NULL, "" where there is none */
	int model_group, group;		   /* its groups; the second is -1 where models say all */
};

enum group_level { GROUP_MODEL, GROUP_CONDITION, GROUP_ALL };

struct summary_group {
	enum group_level level;
	struct summary_condition of; /* NULL where the group does not tell them apart */
	struct tally tally;
	size_t tasks;			   /* with a scored trial */
	size_t cells;			   /* with a scored trial */
	size_t rollouts_min, rollouts_max; /* scored trials of such a task */
	struct stats_mean mean;
	double first_tries; /* the mean of the first tries; NAN: there is none */
	bool over_rollouts; /* one task only: the interval is over its rollouts */
	double worst,
		best; /* the mean if all missing were 0, or 1; equal when nothing is missing */
	int64_t tokens, tools; /* sums over the trials that report them; -1: none does */
	double money_usd;      /* -1: not known */
	bool unpriced;	       /* some calls have no price: money_usd is not all of it */
};

struct summary_failure {
	const char *outcome, *reason; /* borrowed */
	size_t n;
	const char *run_id; /* of the first */
	size_t place;	    /* its row */
};

/* Missing trials by outcome, of which there are a few. */
struct summary_missing {
	const char *outcome[OUTCOME_COUNT_ + 3];
	size_t count[OUTCOME_COUNT_ + 3];
	size_t n;
};

struct summary {
	double level;		  /* that the intervals cover */
	struct summary_row *rows; /* by task, condition, number of the rollout within its cell */
	size_t rows_n;
	struct summary_cell *cells; /* by task and condition */
	size_t cells_n;
	struct summary_condition *conditions;
	json_t **answered; /* by condition: see summary_answered_by() */
	char **task_names; /* by task; NULL: the id says it */
	size_t conditions_n, models_n, labels_n, agents_n, tasks_n; /* different ones */
	/* Each model of each rollout, then each condition where those are more, then everything. */
	struct summary_group *groups;
	size_t groups_n;
	struct summary_missing missing;
	struct summary_failure *failures; /* most frequent first; "not run" is no failure */
	size_t failures_n;
};

/* Sum up the trials of the N ROLLOUTS, which must outlive *OUT. Takes time linear in the number of trials,
 * but for sorting. */
void summary_make(struct summary *out, const struct rollout *const *rollouts, size_t n,
		  double level);
void summary_release(struct summary *s);
/* The group of everything; always there. */
const struct summary_group *summary_all(const struct summary *s);
/* Who answered the trials of G, by the names that the answers give: {model: number of trials}, most first. Empty where no
 * model was asked. New reference. */
json_t *summary_answered_by(const struct summary *s, const struct summary_group *g);
/* Who answered one trial, as the plan has it where no answer said; "" nobody did, or it is not known. */
const char *summary_answer(const struct summary_row *row);
/* The name of a row's task: its id, else its folder's; "ID (FOLDER)" where several have that id. */
const char *summary_task_name(const struct summary *s, const struct summary_row *row);

static inline void auto_summary(struct summary *s)
{
	summary_release(s);
}
