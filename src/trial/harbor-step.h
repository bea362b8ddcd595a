/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * harbor-step.h -- private to trial: what the phases of a Harbor trial share, and its verification.
 */
#pragma once
#include "harbor/reward.h"
#include "trial/work.h"

#define HARBOR_AGENT "agent" /* below the attempt, or below steps/NAME of it: what /logs held */
#define HARBOR_VERIFIER "verifier" /* with test-stdout.txt, reward.json, reward.txt */

struct harbor_trial {
	struct work *w;
	const json_t *contract;	     /* harbor/contract.h */
	struct sandbox *box;	     /* the agent's, or later that of a separate verifier */
	const struct image *image;   /* of it */
	char workdir[TASK_PATH_MAX]; /* where commands run in it */
	bool has_network, online;    /* it may have a network, and has one now */
	bool brings_tests;	     /* its image has /tests itself */
	bool shared;		     /* a verifier ran beside what its agent left */
	int app_fd;		     /* the snapshot's app/: tests, solution, steps */
	struct strv at_start;	     /* processes that ran before the agent did, "PID NAME" */
	json_t *survivors;	     /* those that the agent left, names */
	json_t *steps;		     /* what came of each, for the result */
	json_t *values[256];	     /* their rewards, NULL: none; owned */
	size_t n;
};

struct harbor_step {
	const json_t *own; /* of contract.steps; NULL: the only step of a task without */
	const char *name;  /* "" for that */
	const char *dir;   /* its folder below the attempt: "" or "steps/NAME/" */
	json_t *told;	   /* what is told of it in the result; borrowed */
};

/* KEY of a step's table PHASE, where the step says it; else the task's. Borrowed, may be null. */
const json_t *harbor_said(const struct harbor_trial *h, const struct harbor_step *s,
			  const char *phase, const char *key);
/* TABLE's variables with their templates answered by those that the trial names. */
void harbor_env(const struct work *w, const json_t *table, struct kvs *out);
/* What a command of USER is given: the usual, the task's environment.env, and MORE (NULL: nothing). Also sets the home. */
void harbor_command_env(struct harbor_trial *h, struct sandbox *box, const char *user,
			const struct kvs *more, struct strv *out);
/* Run COMMAND by bash as USER ("": the image's), where the task works. */
int harbor_bash(struct harbor_trial *h, struct sandbox *box, const char *command, const char *user,
		const struct kvs *more, int64_t timeout_ms, struct sandbox_exit *end,
		struct err *err) MUST_CHECK;
/* Put the tests into H's container, run them, read the reward, keep /logs/verifier. */
int harbor_verify(struct harbor_trial *h, const struct harbor_step *s, struct reward *out,
		  struct err *err) MUST_CHECK;
/* Put what harbor_artifacts took back to where it came from, in the box of a separate verifier. */
int harbor_restore(struct harbor_trial *h, const struct harbor_step *s, struct err *err) MUST_CHECK;
/* What the artifacts of task and step name goes to artifacts/, with a manifest. */
int harbor_artifacts(struct harbor_trial *h, const struct harbor_step *s,
		     struct err *err) MUST_CHECK;
