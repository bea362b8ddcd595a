/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * progress.h -- how far each trial has come, by what the journal says of it. A supervisor keeps this
 * up to date while it runs, and the next one reads it from the journal: one function applies an
 * event for both.
 */
#pragma once
#include "core/outcome.h"
#include "store/journal.h"
#include "store/store.h"

struct trial_progress {
	enum trial_state state;
	int attempts;	     /* the highest one started */
	int agent_committed; /* the last attempt whose agent's work is committed; 0: none */
	int agent_started; /* the last one that began with its agent: what was committed before is to be replaced */
	int last_finished;  /* the highest one with a result: a second result of one is not taken */
	int result_attempt; /* the attempt whose result counts; 0: there is none */
	enum outcome outcome; /* of that result, as all that follows but job and phase */
	bool scored;
	bool late; /* one of its tests timed out on a busy machine, or was killed by nothing of ours */
	double total_score;
	/* A result that could be counted was replaced by that of a rerun, which somebody asked for because of its
	 * outcome (resume --retry): what the first try was is kept. Grading again replaces nothing. */
	bool replaced, first_scored;
	bool whole; /* the last attempt was made with all others of its task: its result replaces none in that sense */
	double first_score;
	int64_t tokens;	  /* -1: not known */
	double usd;	  /* -1: not known */
	double judge_usd; /* what its judging cost; -1: not known, or nobody judged */
	char *judge;	  /* owned: who judged it; NULL: nobody */
	char *served; /* owned: the models that answered it, by their own names; NULL: not known */
	char *reason; /* owned; NULL when completed */
	char *graded; /* owned: the hash of the task that it was graded with; NULL: not known */
	char *job;    /* owned: the name of the running attempt at its launcher; NULL: not known */
	char phase[16]; /* the last one entered */
};

void progress_release(struct trial_progress *p);
/* Apply an event of ATTEMPT. FIELDS as in the journal. True when it brought the result that counts
 * now. */
bool progress_apply(struct trial_progress *p, const char *event, int attempt, const json_t *fields);
/* The fields of a finished event: what progress and tables need stands before the whole RESULT. */
json_t *progress_finished(enum outcome outcome, const json_t *result);
/* A result somebody can count: finished and neither infra_error nor cancelled. */
bool progress_has_result(const struct trial_progress *p);

/* Called when LINE brought the result that counts for TRIALS[index]; LINE is borrowed. */
typedef void progress_result_fn(void *arg, size_t index, const json_t *line);
/* Read the journal in DIR_FD. PROGRESS has N items, zeroed; their phases are known if DEPTH is JOURNAL_ALL.
 * ON_RESULT needs more than JOURNAL_PROGRESS; it may be NULL. A trial that was running when the journal ends
 * is RUNNING, whether or not anybody still writes it. */
int progress_read(struct trial_progress *progress, const struct trial *trials, size_t n, int dir_fd,
		  enum journal_depth depth, progress_result_fn *on_result, void *arg,
		  struct journal_stats *stats, struct err *err) MUST_CHECK;
/* Whoever keeps progress in a form of its own, and as much of it as is asked for here alone: how far trial INDEX has come, and
 * what a line changed about it. */
struct progress_keeper {
	void *arg;
	/* False: trial INDEX is not the one of RUN_ID and KEY. P is zeroed; what counts of it are state, attempts, last_finished,
	 * whole, and of the result that counts its attempt, outcome, score and what it replaces. */
	bool (*get)(void *arg, size_t index, const char *run_id, const char *key,
		    struct trial_progress *p);
	/* RESULT: LINE brought the result that counts now. */
	void (*put)(void *arg, size_t index, const struct trial_progress *p, const json_t *line,
		    bool result);
};
/* The same as progress_read for N trials of KEEPER. */
int progress_read_kept(const struct progress_keeper *keeper, size_t n, int dir_fd,
		       enum journal_depth depth, struct journal_stats *stats,
		       struct err *err) MUST_CHECK;
/* Take in what READER finds to have been added, for a view of a benchmark that runs. ON_RESULT needs
 * a reader of more than JOURNAL_PROGRESS. */
int progress_follow(struct trial_progress *progress, const struct trial *trials, size_t n,
		    struct journal_reader *reader, progress_result_fn *on_result, void *arg,
		    struct err *err) MUST_CHECK;
