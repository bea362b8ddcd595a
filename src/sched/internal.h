/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * internal.h -- what the files of this room share; nobody else includes it.
 */
#pragma once
#include "base/strv.h"
#include "sched/disk.h"
#include "sched/interrupt.h"
#include "sched/queue.h"
#include "sched/sched.h"
#include "sched/sites.h"
#include "store/manifest.h"
#include "store/rundir.h"

enum { GRACE_MS = 10000 }; /* a worker ends its phase itself; past this we end the worker */

/* An item and what this run of the supervisor has done about it. */
struct item {
	struct sched_item item;
	int tries;
	bool done;
	bool held; /* it was not ready when its turn came */
};

/* A running attempt. Its place in the array is the launcher's id. */
struct job {
	bool used;
	const struct site *site;
	size_t item;
	int attempt;
	int64_t deadline_ms; /* the phase's, with its grace; 0: none */
	int64_t named_ms;    /* when its engine had it; 0: not, or it has begun */
	bool starting;	     /* its engine has begun with it */
	bool begun;	     /* its worker has said something */
	bool late;	     /* killed because of it */
	char phase[16];
	struct buf partial[2]; /* -vv: the beginning of a line of stdout and stderr */
};

/* Whether everything fails for one reason: then it is the set-up's fault, and going on costs only
 * time. */
struct streak {
	size_t failures; /* trials that ended so, one after the other */
	bool broken;	 /* there were others before them */
	bool paused;
	char kind[256]; /* their cause, or where none is known what was said */
	char reason[256];
};

/* Trials whose provider refused them, which more of them would not change. */
struct refused {
	size_t trials;
	char reason[256]; /* of the first */
};

struct sched {
	const struct sched_options *o;
	struct sites sites;
	struct disk disk;
	struct queue queue;
	struct streak streak;
	struct refused refused;
	struct item *items;
	struct job *jobs; /* o->parallel of them */
	size_t running, done;
	enum interrupt_level level;
	int signal_fd;
	int64_t started_ms,
		kill_ms; /* kill_ms: when patience with stopped workers ends; 0: not yet */
	int64_t manifest_due_ms;
	bool manifest_stale;
	char underived[1024]; /* as in sched_end */
	bool failed_fast, disk_full;
	int64_t idle_stuck_ms; /* since when nothing runs and nothing can be written; 0: not so */
	bool unwritten;	       /* the journal could not be written, and was not since */
	size_t told;	       /* bytes of what is pending in it that the listener knows */
	char failed_why[320];  /* the trial that failed first, and how */
	size_t failed;	       /* of those that are done */
	bool too_many_failed;  /* of those that ended: fail_on_error */
	enum sched_hold hold;  /* what the hook said last */
	char hold_why[512];
	struct strv leftovers; /* directories of attempts still to be swept */
};

static inline const struct trial *sched_trial(const struct sched *s, size_t item)
{
	return &s->o->plan->trials[s->items[item].item.index];
}

static inline struct trial_progress *sched_progress(const struct sched *s, size_t item)
{
	return &s->o->progress[s->o->world ? item : s->items[item].item.index];
}

/* attempt.c: start the next attempt of ITEM in the free job ID, or take up the one that an earlier
 * supervisor left running. A failure is the attempt's, not ours. */
void attempt_start(struct sched *s, size_t id, size_t item);

/* finish.c: the worker of job ID has ended; HOW is the launcher's word. */
void finish_job(struct sched *s, size_t id, const char *how);
/* finish.c: an attempt that could not even be started. */
void finish_unstarted(struct sched *s, size_t item, int attempt, const struct err *why);

/* worker-line.c: one event line of the worker of JOB. */
void worker_line(struct sched *s, struct job *job, const char *line, size_t len);
