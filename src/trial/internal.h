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
#include "gateway/control.h"
#include "repo/repo.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

enum work_box { BOX_AGENT, BOX_EVALUATE, BOX_COUNT_ };

struct work {
	int root_fd, run_fd; /* the data root; this attempt's directory */
	int trial_fd;	     /* the trial's directory, above attempts/ */
	int event_fd;	     /* standard output */
	struct buf events;   /* lines not yet written to it */
	int signal_fd;	     /* SIGTERM: cancelled */
	int gateway_fd; /* O_PATH of the gateway's socket, for an agent that lives in here; -1: none */
	const char *dir; /* "runs/RUN_ID/attempts/N" */
	struct attempt attempt;
	struct task task;
	struct repo_baseline baseline;
	struct buf gold;    /* the gold patch, for the oracle only */
	struct image image; /* of a container */
	char *app;	    /* the snapshot's app/ */
	char *scratch[BOX_COUNT_];
	char box_name[BOX_COUNT_][112];
	struct sandbox_rights *rights[BOX_COUNT_]; /* NULL unless we were root */
	struct sandbox_mount mounts[16];
	char *token; /* stands in for provider keys; "" without a gateway */
	struct control *
		control; /* the attempt at the gateway, while its token is valid; NULL: not metered */
	struct control_state metered;
	struct sandbox_watch watch;
	int64_t agent_start_ms;
	int64_t stop_ms;   /* when the gateway's no ends the agent; 0: it said none */
	bool gateway_gone; /* while the agent ran: gateway_err says how */
	struct err gateway_err;
	bool diverged; /* a replay went another way */
	struct result result;
	int64_t phase_start_ms;
	const char *phase;
};

/* Tell the supervisor, now or with what is said next. */
void work_say(struct work *w, json_t *event_take);
/* Enter PHASE: closes the time of the last one and tells the supervisor. DEADLINE_MS from now, 0 none. */
void work_phase(struct work *w, const char *phase, int64_t deadline_ms);
/* Start a sandbox for this trial. Only the agent's has its mounts and the door to the gateway. */
int work_sandbox(struct work *w, struct sandbox **out, enum work_box which,
		 struct err *err) MUST_CHECK;
/* While we may open everything: make the attempt's token valid, with its logs. Without a gateway, success. */
int work_attach(struct work *w, struct err *err) MUST_CHECK;
/* The gateway's say in when the agent ends, counted from now; NULL without one. */
const struct sandbox_watch *work_watch(struct work *w);
/* How long an agent may run by the wall's clock, waiting included; 0: no end. */
int64_t work_agent_ms(const struct work *w);
/* The agent has ended: the gateway's numbers, and what its no makes of the outcome. -1: the attempt does not
 * count (ERR_INFRA, or w->diverged). */
int work_metered(struct work *w, struct err *err) MUST_CHECK;
/* The agent's phase: run, collect, diff, commit agent.json. Fills w->result.agent. */
int work_agent(struct work *w, struct err *err) MUST_CHECK;
/* Take over what attempt.agent_from committed. */
int work_take_over(struct work *w, struct err *err) MUST_CHECK;
/* Grade the committed diff and write the documents. */
int work_evaluate(struct work *w, struct err *err) MUST_CHECK;
/* The -vv stream, for agent_job.on_output and eval_job.on_output; ARG is the struct work. */
void work_output(void *arg, int stream, const char *data, size_t n);
