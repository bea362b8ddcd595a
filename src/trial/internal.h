/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * internal.h -- the state of the attempt a worker runs, shared by the files of src/trial.
 */
#pragma once
#include <stdint.h>
#include "agent/agent.h"
#include "base/buf.h"
#include "core/result.h"
#include "core/trial.h"
#include "repo/repo.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

enum work_box { BOX_AGENT, BOX_EVALUATE, BOX_COUNT_ };

struct work {
	int root_fd, run_fd; /* the data root; this attempt's directory */
	int trial_fd;        /* the trial's directory, above attempts/ */
	int event_fd;        /* standard output */
	struct buf events;   /* lines not yet written to it */
	int signal_fd;       /* SIGTERM: cancelled */
	const char *dir;     /* "runs/RUN_ID/attempts/N" */
	struct attempt attempt;
	struct task task;
	struct repo_baseline baseline;
	struct buf gold; /* the gold patch, for the oracle only */
	struct image image; /* of a container */
	char *app;       /* the snapshot's app/ */
	char *scratch[BOX_COUNT_];
	char box_name[BOX_COUNT_][112];
	struct sandbox_rights *rights[BOX_COUNT_]; /* NULL unless we were root */
	struct sandbox_mount mounts[16];
	char *token;     /* stands in for provider keys; "" without a gateway */
	struct result result;
	int64_t phase_start_ms;
	const char *phase;
};

/* Tell the supervisor, now or with what is said next. */
void work_say(struct work *w, json_t *event_take);
/* Enter PHASE: closes the time of the last one and tells the supervisor. DEADLINE_MS from now, 0 none. */
void work_phase(struct work *w, const char *phase, int64_t deadline_ms);
/* Start a sandbox for this trial. Only the agent's has its mounts and the door to the gateway. */
int work_sandbox(struct work *w, struct sandbox **out, enum work_box which, struct err *err) MUST_CHECK;
/* The agent's phase: run, collect, diff, commit agent.json. Fills w->result.agent. */
int work_agent(struct work *w, struct err *err) MUST_CHECK;
/* Take over what attempt.agent_from committed. */
int work_take_over(struct work *w, struct err *err) MUST_CHECK;
/* Grade the committed diff and write the documents. */
int work_evaluate(struct work *w, struct err *err) MUST_CHECK;
/* The -vv stream, for agent_job.on_output and eval_job.on_output; ARG is the struct work. */
void work_output(void *arg, int stream, const char *data, size_t n);
