/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sched.h -- runs trials to their end: which one is started when, where, how often, and for how
 * long, in one poll loop. It knows a worker by its event lines and by the files that it leaves, and
 * prints nothing: what happens is told to a listener.
 */
#pragma once
#include <stdbool.h>
#include "launch/launch.h"
#include "sched/listener.h"
#include "store/journal.h"
#include "store/progress.h"
#include "store/planfile.h"
#include "store/rundir.h"
#include "store/store.h"

/* A trial that is to be run, or graded. */
struct sched_item {
	size_t index;	/* in plan->trials */
	int agent_from; /* an earlier attempt: what its agent did is graded; 0: run the agent */
	bool regrade;	/* grade agent_from again, nothing else */
	bool whole; /* with all trials of its task: what comes out was not chosen by an outcome */
	/* As struct attempt has them; ratings are borrowed. */
	int grades_from;
	bool keep_tests, keep_judge;
	json_t *ratings;
	/* Another state of the task to grade with; NULL: as planned. Borrowed. */
	const char *task_hash, *task_snapshot;
};

enum sched_hold {
	SCHED_GO,
	SCHED_WAIT,  /* nothing is started for the moment: asked again after each turn */
	SCHED_STOP,  /* nothing is started any more; what runs finishes */
	SCHED_FAULT, /* the same, because something is broken on our side */
};

/* Somebody else who lives in the poll loop and has a say in what is started: the gateway. None of
 * its functions may block. */
#define SCHED_HOOK_FDS 6
struct sched_hook {
	/* What to poll besides; at most SCHED_HOOK_FDS. Returns how many. */
	size_t (*watch)(void *arg, struct pollfd *fds);
	/* After each wait, given those descriptors. */
	void (*turn)(void *arg, const struct pollfd *fds);
	/* When it has to do something though no descriptor speaks, as clock_mono_ms; -1: never. */
	int64_t (*due)(void *arg);
	/* Whether trials may be started. WHY is filled for STOP and FAULT. */
	enum sched_hold (*hold)(void *arg, char *why, size_t size);
	/* Whether the trial (its place in the plan) may be started by now: asked again after a while. NULL: any may. */
	bool (*ready)(void *arg, size_t trial);
	/* A worker of the trial said EVENT (event.h), a phase or what it has spent. NULL: it is not asked. */
	void (*heard)(void *arg, size_t trial, const char *event, const json_t *line);
	void *arg;
};

/* Another world than this machine: nothing is written or read there, and time passes as it says. For simulations; items may be more than
 * trials of the plan, and `progress` has one for each item. */
struct sched_world {
	/* Instead of waiting in poll: go on to MS later. -1: nothing is due. */
	void (*pass)(void *arg, int64_t ms);
	/* ITEM is about to be submitted, for the TRY-th time. */
	void (*begin)(void *arg, size_t item, int try);
	/* What that left, once its launcher says that it has ended. */
	void (*look)(void *arg, size_t item, struct rundir_left *out);
	void *arg;
};

/* Everything is borrowed until sched_run returns. */
struct sched_options {
	const struct sched_world
		*world; /* NULL: this machine. Otherwise without journal, listener and hook */
	const struct store *store;
	const struct rollout_ref *ref;
	int dir_fd; /* of the rollout */
	const struct planfile *plan;
	struct trial_progress *progress; /* one per trial of the plan, kept up to date */
	struct journal *journal;
	const struct sched_item *items; /* in the order of starting */
	size_t items_n;
	int parallel;
	bool fail_fast;
	/* By the name a trial says; NULL for one that there is not: launch_find. */
	const struct launcher *(*find_launcher)(const char *name);
	const char *worker; /* path of rollouts-trial */
	const char *secret; /* what tokens for the gateway are made from; NULL without a gateway */
	const char *
		gateway; /* socket for agents, absolute: of trials that have a provider; NULL: none */
	const char *control;		   /* socket for workers, absolute; NULL: nobody meters */
	const char *node_keys, *node_door; /* as launch_spec has them */
	bool record;			   /* keep recordings of the model calls */
	/* For each trial of the plan the recording that answers its model calls, or NULL; NULL: none
	 * has one. */
	char *const *replay;
	bool replay_or_live;		 /* what is not in the recording is asked */
	const struct sched_hook *hook;	 /* NULL: none */
	const struct listener *listener; /* NULL: nobody */
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
	SCHED_SAME_ERROR,  /* five in a row failed for one reason: nothing more was started */
	SCHED_MANY_FAILED, /* a larger share than fail_on_error allows */
	SCHED_REFUSED, /* a provider refuses a key, an account or a model: no trial of it gets further */
	SCHED_NO_DISK, /* the data disk is nearly full */
	SCHED_HELD,    /* the hook said STOP: a budget is used up */
	SCHED_BROKEN,  /* the hook said FAULT */
};

struct sched_end {
	enum sched_why why;
	size_t done;	/* items that ended */
	size_t missing; /* of all items: without a result */
	char text[512]; /* why, in words; "" for DONE and INTERRUPTED */
	/* A file that is made from the journal could not be written, and is not up to date: why; "": all are. */
	char underived[1024];
};

/* Blocks until nothing runs any more. -1: there is no such launcher, or the journal cannot be written. For the
 * latter nothing more was started, what ran has ended in its folders, and a later supervisor takes it in. */
int sched_run(const struct sched_options *o, struct sched_end *out, struct err *err) MUST_CHECK;
