/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * control.h -- a worker's connection to the gateway: one per role of an attempt. While it is open the role's token
 * is valid; when it closes, running calls are ended. Needs libc and jansson only.
 *
 * SOCK_SEQPACKET, one JSON object a message, 64 KB at most.
 *   worker:   {"op":"attach","token":T,"provider":NAME,"model":M (as requests will name it),
 *              "task":TASK (whose keys are used, see gateway.h; may be absent),
 *              "limits":{"tokens":N,"usd":X,"calls":N} (each may be absent), "replay":"strict"|"live" (or absent),
 *              "open":bool (or absent), "models":[{"model","provider"}] (the others that its agent may ask, may be empty: any
 *              model but these and its own is answered with 403. Absent: all are its own provider's)}
 *             with descriptors by SCM_RIGHTS, in this order: logs/llm.jsonl (append; one line a call, see
 *             docs/formats.md), with "open": true the file of calls under way (write; a line of CALL_OPEN_BYTES each,
 *             written before it is sent, blank once its line stands in the log), the recording (append; -1 is not sent: "record" of the document false means
 *             one descriptor), then with "replay" the recording to answer from (read)
 *   gateway:  {"event":"attached"} | {"event":"refused","text":...}
 *   gateway:  {"event":"state", ...}: after each call, when waiting begins or ends, and as the answer to
 *             {"op":"state","ask":N} (which then has that "ask", so that it is not taken for an earlier one):
 *             waited_ms   time so far in which some call of this attempt waited for quota, for a provider
 *                         that was shut, or for a retry, and none was being answered
 *             calls, tokens_input (cached ones and cache writes included), tokens_cached, tokens_cache_write,
 *             tokens_output (reasoning included), tokens_reasoning, usd (null: some call had no price),
 *             estimated (calls without reported usage), models[] (as served), keys[] (ids used)
 *             by_model[]  {model, provider, calls, tokens, usd (null: not known)}, where "models" names others
 *             undeclared  the first model asked for that was answered with 403, as above
 *             limit       text, once a limit is reached: "token_limit of 20000 reached (20412)"; the agent
 *                         was answered with a 400
 *             failed      {text, retry, refused}: how the attempt's own model could not be asked last, while it
 *                         did not answer since: its provider refused (refused: the key, the account, the
 *                         model; no attempt does better before somebody mends that) or stayed shut too long.
 *                         Once the model has answered, 403, 404 and the like are the affair of the agent that
 *                         asks so; 401, 402 and a used up quota are not
 *             answered    bool: some call was
 *             unanswered  {text, retry, refused}: why the last call was not, while none was
 *             diverged    text, once a replay met a request that is not the recorded one and was refused;
 *                         with "live" there is a note for people instead
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "core/model-share.h"

#define CALL_OPEN_BYTES 1024

struct control; /* opaque */

struct control_limits {
	int64_t tokens, calls; /* 0: none */
	double usd;	       /* 0: none */
};

struct control_attach {
	const char
		*path; /* of the control socket, relative to ROOT_FD; may be longer than sun_path */
	int root_fd;
	const char *token, *provider, *model, *task;
	struct control_limits limits;
	int log_fd, open_fd, record_fd, replay_fd; /* borrowed; -1: none */
	bool replay_or_live;
	bool declared;	     /* only MODEL and those of ROLES may be asked */
	const json_t *roles; /* core/roles.h */
};

struct control_failure {
	char text[256]; /* "" none */
	bool retry;	/* another attempt may do better */
	bool refused; /* the provider's word, and no attempt does better before somebody mends it */
};

struct control_state {
	int64_t waited_ms, calls;
	int64_t tokens_input, tokens_cached, tokens_cache_write, tokens_output, tokens_reasoning;
	int64_t estimated;
	double usd;	 /* -1: unknown */
	char limit[256]; /* "" none */
	struct control_failure failed, unanswered;
	bool answered; /* some call was */
	char diverged[512];
	char models[256]; /* as served, separated by ", " */
	char undeclared[128];
	struct model_shares by_model;
	char keys[512]; /* ids of those that were used, separated by ", " */
};

/* Blocks for an answer, at most a few seconds. ERR_INFRA. The caller owns *out. */
int control_open(struct control **out, const struct control_attach *a, struct err *err) MUST_CHECK;
/* To be polled: readable when a state came. */
int control_fd(const struct control *c);
/* Take in what came, without blocking. True: *out changed. -1: the gateway is gone (ERR_INFRA, retry). */
int control_read(struct control *c, struct control_state *out, struct err *err) MUST_CHECK;
/* Ask, and wait for the answer. */
int control_state(struct control *c, struct control_state *out, struct err *err) MUST_CHECK;
void control_close(struct control *c); /* accepts NULL */
