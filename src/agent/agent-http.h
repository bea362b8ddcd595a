/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-http.h -- private to agent: one HTTP/1.0 request to the gateway's unix socket, in libc alone. The
 * answer is a provider's: bounded, and not trusted.
 */
#pragma once
#include "agent/agent.h"
#include "base/buf.h"

#define AGENT_ANSWER_BYTES (64u << 20)

struct agent_answer {
	bool late;  /* the job's deadline came first: nothing else is set */
	int status; /* of HTTP */
	struct buf body;
};

/* POST BODY to PATH. HEADERS are whole lines, each with its CR LF. Waits as long as the job's deadline allows, which
 * its watch may move; a gateway that is just being started again is waited for. OUT must be released in any
 * case. -1: ERR_CANCELLED, or ERR_INFRA (retry) when there is no gateway or no whole answer. */
int agent_post(const struct agent_job *job, const char *path, const char *headers,
	       const struct buf *body, struct agent_answer *out, struct err *err) MUST_CHECK;
/* When the job has to end, as things stand now (clock_mono_ms; 0: never). */
int64_t agent_deadline(const struct agent_job *job);
