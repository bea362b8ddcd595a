/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * batch.h -- private to libexec/rollouts-launch-batch, the launcher of AWS Batch: the arrays that it submitted, each in a folder of its
 * own below `state`:
 *
 *   array.json   v 1; storage; name of its jobs; tasks[]: of each child the folders of its attempts
 *   job          the array's job id, once Batch said it
 *   void         nobody knows whether it was submitted, and it has been given up
 */
#pragma once
#include "aws/s3.h"
#include "base/strv.h"
#include "cloud/settings.h"

enum task_state { TASK_THERE, TASK_ENDED };

struct trial_ref {
	char *token, *dir;
	bool attached; /* the supervisor wants to hear of it */
	bool ended;    /* was told */
	bool cancelled;
	bool done; /* its files may go */
	bool stopped, committed;
	char *how;     /* of an end that is held back until Batch says why; owned */
	json_t *cloud; /* what its machine was and cost; owned */
};

/* One child of an array, or a job by itself: some trials, one after the other. */
struct task {
	struct trial_ref *trials;
	size_t n;
	enum task_state state;
	char *why;	  /* how Batch says that it ended, or why it waits; NULL: nothing */
	int64_t ended_ms; /* when that was seen; 0: not yet */
	bool cancel_sent;
};

struct array {
	char *name, *dir; /* dir: absolute */
	int dir_fd;
	char *job; /* NULL: not known */
	struct task *tasks;
	size_t n;
	char *heard;	   /* the last key of its events that was read; NULL: none */
	json_t *read;	   /* keys near it that were read */
	int64_t counts[2]; /* of those that were listed: succeeded, failed */
	bool seen, warned;
	int missed, idle;
};

struct batch {
	struct settings settings;
	struct aws aws;
	struct s3 s3;
	char *data, *state;
	int data_fd;
	int64_t parallel;
	struct array *arrays;
	size_t n, cap;
	json_t *gathered; /* jobs that are to be submitted */
	int64_t gathered_ms, first_ms;
	json_t *uploaded; /* parcels that are there */
	json_t *files;	  /* of rollouts: path -> what was uploaded of it */
	int64_t files_ms, next_poll_ms;
	bool no_bulk; /* this endpoint has no bulk calls */
};

/* say.c */
void say_submitted(const struct array *a, const struct task *t, const struct trial_ref *r);
void say_ended(struct trial_ref *r, const char *how, bool has_result);

/* array.c: the arrays there are. */
struct array *array_new(struct batch *b, const json_t *lists, struct err *err);
void array_release(struct array *a);
/* Its tasks, as lists of trials' folders; then it is one of B's, which takes what A holds. */
void array_fill(struct array *a, const json_t *lists);
struct array *array_keep(struct batch *b, struct array *a);
int array_set_job(struct array *a, const char *job, struct err *err) MUST_CHECK;
struct trial_ref *array_find(const struct batch *b, const char *token, struct array **a,
			     struct task **t);
/* Its files may go; so may its array's, once that is so for all of them. */
void array_done(struct batch *b, const char *token);
/* The id of child T: "JOB:INDEX", or the job's own. The caller frees. */
char *array_child(const struct array *a, const struct task *t);

/* attach.c: the trial TOKEN of an array that a program before us wrote down, in the array that NAME ends with (NULL: not known).
 * False: there is none. */
bool array_attach(struct batch *b, const char *token, const char *name);

/* upload.c: what nodes need, and what the bucket shows of rollouts. */
int upload_inputs(struct batch *b, const json_t *jobs, struct err *err) MUST_CHECK;
int upload_tasks(struct batch *b, const struct array *a, struct err *err) MUST_CHECK;
int upload_forget(struct batch *b, const struct array *a, struct err *err) MUST_CHECK;
/* The files of rollouts that trials came from; ALL: those as well that were looked at a moment ago. */
void upload_rollouts(struct batch *b, bool all);
void upload_remember(struct batch *b, const char *dir);

/* submit.c */
void submit_gather(struct batch *b, const json_t *jobs);
void submit_due(struct batch *b, bool now);
/* The id of the array A at Batch, by its name. 1: there is none; -1: Batch is not to be asked. */
int submit_find(struct batch *b, const struct array *a, char **job, struct err *err) MUST_CHECK;
void submit_cancel(struct batch *b);

/* states.c: ask the bucket and Batch what became of everything, and tell. */
void states_poll(struct batch *b);
/* outcome.c: how Batch says that a job ended, for people; the caller frees. NULL: it says nothing of use. */
char *outcome_text(struct batch *b, const json_t *job);
