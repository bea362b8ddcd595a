/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * slurm.h -- private to libexec/rollouts-launch-slurm, the launcher of Slurm: what the user set, and the batches of trials that it
 * submitted, each a job array in a folder of its own below `state`:
 *
 *   batch.json   v 1, lists[]: of each array task the folders of its attempts
 *   list.json    those lists alone, for rollouts-node
 *   script       what Slurm runs
 *   job          the array's job id, once sbatch said it
 *   void         it is not to run: nobody knows whether it was submitted, and it has been given up
 *   out/         I.events.K of array task I and its Kth execution, and the archives
 *   log          what its tasks say on standard error
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

struct settings {
	char *partition, *account, *qos, *constraint, *gres, *time, *cache, *setup,
		*node;	 /* NULL: not set */
	json_t *options; /* texts, as sbatch takes them; NULL: none */
	int64_t trials_per_job, side_by_side, cpus, memory_mb, cache_mb, poll_sec;
	bool requeue, json; /* json: squeue is asked for JSON */
};

/* -1: TEXT says which one is wrong, and what to write. */
int settings_read(struct settings *s, const json_t *j, struct buf *text) MUST_CHECK;
void settings_release(struct settings *s);

/* What Slurm's own programs say. */
struct answer {
	int status; /* a wait status */
	struct buf out, err;
};
/* Run ARGV (squeue, sbatch ...) for a minute at most. -1: it could not be run. ANSWER is to be released in any case. */
int slurm_ask(struct answer *a, const char *const *argv, struct err *err) MUST_CHECK;
void answer_release(struct answer *a);
/* The last line of what it said on standard error. */
const char *answer_words(const struct answer *a);
/* It is not to be reached, or busy, and will be again. */
bool answer_is_passing(const struct answer *a);
/* A limit of the site on how many jobs may be submitted. */
bool answer_is_full(const struct answer *a);

enum task_state { TASK_QUEUED, TASK_RUNNING, TASK_ENDED };

struct trial_ref {
	char *token, *dir;
	bool attached;	/* the supervisor wants to hear of it */
	bool ended;	/* was told */
	bool cancelled; /* is to end */
	bool done;	/* its files may go */
	/* Its node was told to stop: held back until Slurm says why. NULL: not so; owned. */
	char *how, *archive;
	int64_t held_ms;
	bool committed; /* its agent's work was by then */
};

struct execution {
	int64_t read_bytes;
	struct buf begun;
};

/* One array task: some trials in one job. */
struct task {
	struct trial_ref *trials;
	size_t n;
	enum task_state state;
	char *why;	  /* how Slurm says that it ended, or why it waits; NULL: nothing */
	int64_t ended_ms; /* when that was seen; 0: not yet */
	bool seen;	  /* in the answer just read */
	int missed;	  /* answers in a row without it */
	struct execution *executions;
	size_t executions_n;
	bool cancel_sent;
};

struct batch {
	char *name, *dir; /* dir: absolute */
	int dir_fd;
	int64_t job; /* 0: not known */
	struct task *tasks;
	size_t n;
};

struct slurm {
	struct settings settings;
	char *data, *state, *node;
	int64_t parallel;
	int64_t array_max; /* tasks in one array; MaxArraySize of the site */
	int64_t submit_max; /* jobs that this user may have submitted at once, as accounting says; 0: it says nothing */
	bool no_sacct; /* it has failed: there is no accounting */
	struct batch *batches;
	size_t n, cap;
	json_t *waiting;      /* jobs that a limit of the site held back */
	int64_t again_ms;     /* when they are tried again */
	int64_t next_poll_ms; /* Slurm is not asked before */
};

/* limits.c: read what the site allows. False: WHY says why Slurm is not to be used. */
bool limits_read(struct slurm *s, struct buf *why);

/* batch.c: sbatch with what every job has. */
void batch_options(const struct slurm *s, struct strv *argv);
/* Submit JOBS, of the protocol; what a limit holds back is kept for later. */
void batch_submit(struct slurm *s, const json_t *jobs);
/* Take up a job of an earlier program. False: there is none. */
bool batch_attach(struct slurm *s, const char *token, const char *name);
/* The trial with that token; *TASK and *BATCH are where it is. NULL: none. */
struct trial_ref *batch_find(const struct slurm *s, const char *token, struct batch **b,
			     struct task **t);
/* Say that T of B is with Slurm. */
void batch_say_submitted(const struct batch *b, const struct task *t, const struct trial_ref *r);
/* Its files may go; so may its batch's, once that is so for all of them. */
void batch_done(struct slurm *s, const char *token);
/* End what was cancelled. */
void batch_cancel(struct slurm *s, bool kill);
void batch_release(struct batch *b);

/* states.c: ask Slurm what became of everything, and tell. Does so as often as it may. */
void states_poll(struct slurm *s);
