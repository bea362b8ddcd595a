/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * messages.h -- a recording of model calls as conversations in one form, whatever dialect they were in: messages with
 * role (system, user, assistant, tool), content (text), reasoning_content, tool_calls (their arguments as JSON text) and
 * tool_call_id, as chat completions have them. Everything in it is an agent's or a model's.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

enum messages_part {
	MESSAGES_MAIN,
	MESSAGES_COMPACTION, /* the main one goes on with a history that was cut or summed up */
	MESSAGES_SUB_AGENT,  /* beside it: an agent's agent, or a question of its own */
};
const char *messages_part_name(enum messages_part part); /* "main", "compaction", "sub-agent" */

struct conversation_said {
	json_t *messages, *tools; /* arrays; as the last request had them, with its answer; owned */
	size_t asked;		  /* of MESSAGES: what stood in that request */
	int64_t first_call, last_call;
	size_t calls; /* that were answered */
	char *model;  /* who answered last, by its own name; "" unknown; owned */
	enum messages_part part;
};
struct messages {
	struct conversation_said *v; /* by their first call; only those that were answered */
	size_t n, cap;
};

/* ERR_USAGE when RECORDING is not one. OUT is to be released in any case. */
int messages_read(struct messages *out, const struct buf *recording, struct err *err) MUST_CHECK;
void messages_release(struct messages *m);
/* The messages of a request, and what it says of tools; of an answer. Each is appended to; of any dialect. */
void messages_of_request(json_t *messages, json_t *tools, const json_t *request);
void messages_of_answer(json_t *messages, const json_t *answer);
