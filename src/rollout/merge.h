/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * merge.h -- takes the rollouts of other data folders into one. Parts of one benchmark, which share the benchmark file, the
 * tasks and the agents but no trial, become one rollout. What is taken in stays where it was, too. Prints nothing.
 *
 * Everything is read and decided before anything is written. A merge that was killed is repeated: what was taken in by then is known
 * by its rollout_id.
 */
#pragma once
#include "store/store.h"

struct merge_request {
	const char *data_dir;	    /* made where it is missing */
	const char *const *folders; /* NULL after the last */
	bool apart;		    /* each rollout stays one of its own */
	bool dry_run;
	bool share; /* by hard links where they can be made: the folders are ours, and go away */
};

enum merge_kind {
	MERGE_KNOWN,  /* it is here already */
	MERGE_TAKEN,  /* a rollout of its own here, too */
	MERGE_JOINED, /* its trials were added to INTO */
	MERGE_GREW,   /* INTO, which it is, had gone on there */
};

struct merge_step {
	enum merge_kind kind;
	const char *from; /* "B/rollouts/bench/STAMP", as the user named B */
	const char *name;
	const char *stamp; /* of INTO; the one it has there, as long as it is not known */
	size_t trials;	   /* of FROM */
	const char *why;   /* why it was not joined to another of its name; NULL: there was none */
};

/* STEP is borrowed. */
typedef void merge_fn(void *arg, const struct merge_step *step);
/* ERR_USAGE, before anything is written, for what cannot be taken in without a loss: a running rollout, one that went on in two
 * places, one with run folders of another, two parts with one trial. DONE is told of each rollout once it is in. */
int merge_rollouts(const struct merge_request *q, merge_fn *done, void *arg,
		   struct err *err) MUST_CHECK;
