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
#include "analysis/clusters.h"
#include "stats/mean.h"
#include "store/store.h"

/* What an interval covers unless somebody asks for more or less. */
#define SUMMARY_LEVEL 0.95

/* What an interval is for: other tasks like these, or these tasks run again. */
enum summary_question { SUMMARY_TASKS_LIKE_THESE, SUMMARY_THESE_TASKS };

enum summary_by { BY_MODEL, BY_LABEL, BY_TASK, BY_TAG, BY_AGENT, BY_SERVED, BY_COUNT_ };

struct summary_options {
	double level; /* that the intervals cover */
	enum summary_question question;
	const char
		*cluster; /* as clusters_check() takes it; NULL: what clusters.h does by itself */
	enum summary_by by[BY_COUNT_];
	size_t by_n; /* 0: by model, and by whatever else the conditions differ in */
};
#define SUMMARY_DEFAULT ((struct summary_options){.level = SUMMARY_LEVEL})

const char *summary_question_name(enum summary_question q); /* "tasks like these", "these tasks" */
/* WORD: "tasks-like-these" or "these-tasks"; NULL: the first. */
int summary_question_parse(const char *word, enum summary_question *out,
			   struct err *err) MUST_CHECK;
const char *summary_by_name(enum summary_by by); /* "model" ... */
/* WORDS: "model,tag". */
int summary_by_parse(struct summary_options *out, const char *words, struct err *err) MUST_CHECK;

enum standing {
	STANDING_SCORED,
	STANDING_UNSCORED, /* has a result, but nothing graded it */
	STANDING_MISSING,  /* has no result to count, or somebody excluded it */
};

/* How a trial stands, in more words than its outcome has. */
enum summary_state {
	/* The outcomes of core/outcome.h come first. */
	STATE_RUNNING = OUTCOME_COUNT_,
	STATE_INTERRUPTED,
	STATE_NOT_RUN,
	STATE_EXCLUDED,
	STATE_COUNT_
};
const char *summary_state_name(int state); /* "completed" ... "not run", "excluded" */

struct summary_row {
	const struct trial_status *status;
	/* In order of appearance; a task is the same one in every rollout. */
	int task;
	int condition : 24;
	unsigned standing : 2; /* enum standing */
	unsigned state : 6;    /* an outcome, or of enum summary_state */
};

/* Which tasks are shown, and in which order. */
enum summary_sort {
	SORT_NONE,
	SORT_NAME,
	SORT_MEAN,
	SORT_SPREAD,
	SORT_TIME,
	SORT_COST,
	SORT_TOKENS
};
enum summary_which { WHICH_ALL, WHICH_UNSOLVED, WHICH_FLAKY, WHICH_SOLVED, WHICH_DIFFER };
struct summary_selection {
	enum summary_sort sort; /* lowest mean first, else the most first */
	enum summary_which which;
	bool failed;  /* only trials that ended otherwise than completed, or without a full score */
	size_t limit; /* at most this many tasks; 0: all */
};
/* SORT and WHICH: words, or NULL. */
int summary_selection_parse(struct summary_selection *out, const char *sort, const char *which,
			    struct err *err) MUST_CHECK;

struct tally {
	size_t planned, scored, unscored, missing;
	size_t suspect; /* of the scored: some of the work was meant for the tests */
	size_t replaced; /* of the scored: they replace an earlier result, whose outcome somebody did not want */
	size_t first_tries; /* scored when the first result counts of each trial, and not the last */
};

struct summary_cell {
	int task, condition;
	size_t first; /* of the rows; tally.planned of them */
	struct tally tally;
	double sum, max; /* of the scores */
};

struct summary_condition {
	const struct rollout *rollout;
	const char *model, *label, *agent; /* never NULL, "" where there is none */
	int model_group, group;		   /* its groups; the second is -1 where models say all */
};

enum group_level { GROUP_MODEL, GROUP_CONDITION, GROUP_ALL, GROUP_BY };

/* The chance to solve a task at least once in K rollouts, and each time; unbiased, over tasks like these. */
struct summary_pass {
	size_t k;
	struct stats_mean at, hat;
};
#define SUMMARY_PASSES 8

struct summary_group {
	enum group_level level;
	struct summary_condition of; /* NULL where the group does not tell them apart */
	struct tally tally;
	size_t tasks;			   /* with a scored trial */
	size_t cells;			   /* with a scored trial */
	size_t rollouts_min, rollouts_max; /* scored trials of such a task */
	struct stats_mean mean;
	const char *by[BY_COUNT_]; /* of GROUP_BY: what it is, by options.by; borrowed */
	/* Of trials by enum summary_state, all of tally.planned; those with a full score. */
	size_t states[STATE_COUNT_], solved;
	size_t never, sometimes,
		always; /* scored tasks by how many of their rollouts have a full score */
	/* Where each task is of one condition and has more than one scored rollout. */
	struct summary_pass passes[SUMMARY_PASSES];
	size_t passes_n;
	double with_excluded; /* the mean if nothing were excluded; NaN: nothing is */
	int64_t wall_median_ms, wall_p90_ms; /* of the agent; -1: not known */
	double without_suspects; /* the mean without suspect trials; NAN: there is no other */
	double first_tries;	 /* the mean of the first tries; NAN: there is none */
	bool over_rollouts;	 /* one task only: the interval is over its rollouts */
	double worst,
		best; /* the mean if all missing were 0, or 1; equal when nothing is missing */
	int64_t tokens, tools;		 /* sums over the trials that report them; -1: none does */
	double money_usd;		 /* -1: not known */
	bool unpriced;			 /* some calls have no price: money_usd is not all of it */
	double machine_sec, machine_usd; /* sums over the trials in a cloud; -1: not known */
};

struct summary_failure {
	const char *outcome,
		*reason; /* borrowed; of an outcome, or "unscored" where the trial was completed */
	size_t n;
	size_t place; /* the row of the first */
};

/* Missing trials by outcome, of which there are a few. */
struct summary_missing {
	const char *outcome[OUTCOME_COUNT_ + 3];
	size_t count[OUTCOME_COUNT_ + 3];
	size_t n;
};

struct summary {
	struct summary_options options;
	struct clusters clusters; /* of its tasks */
	struct summary_row *rows; /* by task, condition, number of the rollout within its cell */
	size_t rows_n;
	struct summary_cell *cells; /* by task and condition */
	size_t cells_n;
	size_t *shown; /* cells that tables show, in their order */
	size_t shown_n;
	bool failed_only; /* of their trials */
	struct summary_condition *conditions;
	json_t **answered; /* by condition: see summary_answered_by() */
	char **task_names; /* by task: its id, with its folder where another has that id, too */
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
		  const struct summary_options *options);
/* Show less than all, or in another order; numbers of groups stay what they are. */
void summary_select(struct summary *s, const struct summary_selection *how);
/* Whether tables show ROW, of a cell that they show. */
bool summary_shows(const struct summary *s, const struct summary_row *row);
void summary_release(struct summary *s);
/* Whether ROW is in G, a group of S. */
bool summary_group_holds(const struct summary *s, const struct summary_group *g,
			 const struct summary_row *row);
/* The group of everything; always there. */
const struct summary_group *summary_all(const struct summary *s);
/* Who answered the trials of G, by the names that the answers give: {model: number of trials}, most first. Empty where no
 * model was asked. New reference. */
json_t *summary_answered_by(const struct summary *s, const struct summary_group *g);
/* The mean of C's scores, and its interval over the rollouts. */
struct stats_mean summary_cell_mean(const struct summary *s, const struct summary_cell *c);
/* Who answered one trial, as the plan has it where no answer said; "" nobody did, or it is not known. */
const char *summary_answer(const struct summary_row *row);
/* The name of a row's task: its id, else its folder's; "ID (FOLDER)" where several have that id. */
static inline const char *summary_task_name(const struct summary *s, const struct summary_row *row)
{
	return s->task_names[row->task];
}

static inline void auto_summary(struct summary *s)
{
	summary_release(s);
}
