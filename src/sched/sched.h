/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sched.h -- runs trials to their end: queue, admission, retries, deadlines, interrupts, in one
 * poll loop. Knows workers by their event lines and their result.json only. Called by run, resume
 * and eval.
 */
#pragma once
#include <stdbool.h>
#include "launch/launch.h"
#include "sched/display.h"
#include "store/journal.h"
#include "store/marks.h"
#include "store/planfile.h"
#include "store/store.h"

/* One trial to be done. */
struct sched_item {
	size_t index;	/* in plan->trials */
	int agent_from; /* the attempt whose agent work is taken over; 0: run the agent */
	bool regrade;	/* grade agent_from again, nothing else */
	/* Another state of the task to grade with; NULL: as planned. Borrowed. */
	const char *task_hash, *task_snapshot;
};

struct sched_options {
	const struct store *store;
	const struct rollout_ref *ref;
	int dir_fd; /* of the rollout */
	const struct planfile *plan;
	struct trial_mark *marks; /* one per trial, kept up to date */
	struct journal *journal;
	const struct sched_item *items; /* in the order of starting */
	size_t items_n;
	int parallel;
	bool fail_fast;
	const struct launcher *launcher;
	const char *worker; /* path of rollouts-trial */
	const char *secret; /* of the benchmark: tokens are made from it; NULL without a gateway */
	struct display *display;
	/* Remove what a worker that died may have left in an attempt's directory; false: try again
	 * later. May be NULL. */
	bool (*sweep)(int root_fd, const char *attempt_dir);
	/* What an item became: the outcome of its last attempt. May be NULL. */
	void (*on_done)(void *arg, size_t item, enum outcome outcome);
	void *on_done_arg;
};

enum sched_why {
	SCHED_DONE,	   /* every item was tried to its end */
	SCHED_INTERRUPTED, /* by the user */
	SCHED_FAILED_FAST, /* after the first failure, as asked */
	SCHED_SAME_ERROR,  /* the first five failed for one reason: nothing more was started */
	SCHED_NO_DISK,	   /* the data disk is nearly full */
};

struct sched_end {
	enum sched_why why;
	size_t done;	/* items that ended */
	size_t missing; /* of all items: without a result */
	char text[512]; /* the one reason, for SAME_ERROR and NO_DISK */
};

/* Blocks until nothing runs any more. -1: the record could not be kept; all workers were stopped.
 */
int sched_run(const struct sched_options *o, struct sched_end *out, struct err *err) MUST_CHECK;
