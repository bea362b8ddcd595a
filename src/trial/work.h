/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * work.h -- private to trial: the attempt that a worker runs, and what it tells its supervisor. The
 * phases of an attempt are files of their own, which include this one and not each other.
 */
#pragma once
#include <stdint.h>
#include "agent/agent.h"
#include "base/buf.h"
#include "core/result.h"
#include "core/trial.h"
#include "gatewaylink/control.h"
#include "repo/repo.h"
#include "sandbox/sandbox.h"
#include "task/task.h"

enum work_box { BOX_AGENT, BOX_EVALUATE, BOX_COUNT_ };

struct work {
	int root_fd, run_fd; /* the data root; this attempt's directory */
	int trial_fd;	     /* the trial's directory, above attempts/ */
	int event_fd;	     /* standard output */
	struct buf events;   /* lines not yet written to it */
	size_t unread;	     /* bytes of output that found no room there */
	int signal_fd;	     /* SIGTERM: cancelled */
	int gateway_fd; /* O_PATH of the gateway's socket, for what asks models from in here; -1: none */
	const char *dir; /* "runs/RUN_ID/attempts/N" */
	struct attempt attempt;
	struct task task;
	const struct task_step
		*step; /* of the task: the one under way; NULL when the task is not needed */
	struct repo_baseline baseline;
	struct buf gold; /* the gold patch, for the oracle only */
	struct agent_image
		*images; /* that go with the task's instruction; owned, with what they name */
	size_t images_n;
	struct strv gold_paths; /* the files it touches: an agent may, too */
	struct image image;	/* of a container */
	struct image
		verifier_image; /* of that of a Harbor task's verifier, where it has one: the last step's */
	bool separate;		/* it has one */
	bool privileges; /* programs of a Harbor task's container may gain them: its image has sudo */
	char *app;	 /* the snapshot's app/ */
	char *scratch[BOX_COUNT_];
	char box_name[BOX_COUNT_][112];
	char calls[512],
		recording[512]; /* what the gateway writes for the agent, below the data root */
	struct sandbox_inherited *inherited[BOX_COUNT_]; /* NULL unless we were root */
	struct sandbox_mount mounts[BOX_COUNT_][64];
	char *verifier_shims; /* the path of share/verifier, once it was wanted */
	struct sandbox_mount caches[BOX_COUNT_][SANDBOX_CACHES_MAX];
	char *token;	     /* of the agent: stands in for provider keys; "" without a gateway */
	char judge_code[40]; /* of the fences of a judging that is replayed; "": none is */
	char *judge_token;   /* the same for graders that ask a model; the agent never learns it */
	struct control
		*control; /* the agent's account, while its token is valid; NULL: not metered */
	struct control *judge; /* that of the graders; NULL: they ask no model */
	struct control_state metered;
	struct sandbox_watch watch;
	int64_t agent_start_ms;
	int64_t stop_ms; /* when the agent must end after a limit or a failure; 0: there was none */
	bool gateway_gone; /* while the agent ran: gateway_err says how */
	struct err gateway_err;
	bool diverged; /* a replay went another way */
	struct result result;
	int64_t begun_ns; /* when the worker was started, as clock_mono_ns */
	int64_t phase_start_ms;
	const char *phase;
};

/* {"event": NAME}, to be added to and said. */
json_t *work_event(const char *name);
/* Tell the supervisor, now or together with the next event. */
void work_say(struct work *w, json_t *event_take);
/* Enter PHASE: note how long the last one took and tell the supervisor, which kills us DEADLINE_MS from
 * now (0: never). */
void work_phase(struct work *w, const char *phase, int64_t deadline_ms);
/* The -vv stream, for agent_job.on_output and eval_job.on_output; ARG is the struct work. */
void work_output(void *arg, int stream, const char *data, size_t n);
/* The agent's part ends as OUTCOME, its reason WHY and TEXT, which may hold anything. */
void work_end_agent(struct work *w, enum outcome outcome, const char *why, const char *text);
