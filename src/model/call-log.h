/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * call-log.h -- logs/llm.jsonl, the log of an attempt's model calls: one line a call, written as the call ends
 * (docs/formats.md). What stands in it comes from agents and providers: whoever prints it renders it.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "model/usage.h"

/* Members that are not described here mean what docs/formats.md says of them. */
struct logged_call {
	int64_t call, at_ms;	/* at_ms: wall clock */
	const char *path, *api; /* never NULL, like all texts but error */
	const char *provider;	/* "": no provider was asked */
	const char *key, *model_asked, *model_served;
	bool stream;
	int status, retries;
	int64_t queued_ms, first_byte_ms, total_ms; /* first_byte_ms: -1, no byte came */
	struct token_usage tokens;
	bool estimated;
	double usd; /* negative: no price is known */
	int64_t request_bytes, response_bytes;
	const char *request_hash, *end;
	const char *error; /* NULL: none */
	bool replayed;
	const char
		*differs; /* from the recorded request that it is answered as; NULL: in nothing */
};

/* Append one line. */
void call_log_write(struct buf *out, const struct logged_call *c);

/* Starts as {.at = the first byte, .end = behind the last}; released in any case. */
struct call_log_reader {
	const char *at, *end;
	int64_t damaged; /* lines so far that were no call, and were passed over */
	json_t *line;
};

/* The next call into *OUT, borrowed until the next one is read; false: there is no more. A last line that
 * was torn as the gateway was killed is damaged like any other; one that lost only its newline is a call. */
bool call_log_read(struct call_log_reader *r, struct logged_call *out);
void call_log_release(struct call_log_reader *r);
/* What the calls of logs come to. */
struct call_log_sum {
	int64_t calls, tokens, unpriced_calls;
	double usd;
};

/* Add those of a log's text that are paid. */
void call_log_add_up(struct call_log_sum *to, const char *text, size_t len);
/* Whether C went to a provider now and is counted, priced and limited: not one answered from a recording, nor one that
 * lists models or counts tokens. */
bool call_log_is_paid(const struct logged_call *c);
