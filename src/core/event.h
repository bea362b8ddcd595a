/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * event.h -- the lines a worker writes to its supervisor (standard output, one JSON object a line), and
 * the names of what the supervisor journals. The supervisor never links the worker's code: these lines
 * are all they share.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/buf.h"

/* In a worker's line: {"event": NAME, ...}. */
#define EVENT_PHASE "phase"	      /* phase, deadline_ms (from now; 0 none) */
#define EVENT_NOTE "note"	      /* text */
#define EVENT_AGENT_DONE "agent_done" /* digest, outcome: the agent's work is committed */
#define EVENT_FINISHED "finished"     /* outcome, digest: result.json is in place */
/* calls, tokens, usd, unpriced_calls: what the calls of an attempt came to so far, where a gateway beside its worker makes them;
 * those under way as they were estimated. Said by rollouts-node. */
#define EVENT_SPENDING "spending"
#define EVENT_OUTPUT "output" /* stream, text: -vv only, never journalled */
#define EVENT_SHELL                                                                                \
	"shell" /* status, stopped, not_found: the command that attempt.shell names has ended */
#define EVENT_SHELL_FAILED                                                                         \
	"shell_failed" /* text; usage: the mistake is the user's: there was none */
/* Of the supervisor alone: */
#define EVENT_PLANNED "planned"
#define EVENT_STARTED "started"
#define EVENT_SUBMITTED "submitted" /* launcher, job: its name at the engine that runs it */
#define EVENT_INTERRUPTED "interrupted"
#define EVENT_SPENT "spent" /* calls, tokens, usd, unpriced_calls: of the whole rollout so far */

#define PHASE_PREPARE "prepare"
#define PHASE_SANDBOX "sandbox"
#define PHASE_AGENT "agent"
#define PHASE_COLLECT "collect"
#define PHASE_EVALUATE "evaluate"
#define PHASE_DONE "done"

/* Append EVENT as one line. */
void event_add(struct buf *lines, json_t *event_take);
/* Write LINES to FD (the worker's standard output) and empty them. Failure is silent: the reader's death is
 * noticed by polling FD for POLLERR. */
void event_send(int fd, struct buf *lines);
/* The same for as much as goes into a pipe without waiting for its reader; the rest stays in LINES. */
void event_try_send(int fd, struct buf *lines);
