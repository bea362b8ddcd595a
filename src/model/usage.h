/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * usage.h -- what a model call used, what that costs, and whether the answer says that it failed. All of it is read
 * out of an answer while it passes, in each dialect, streamed or not, in constant memory. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/api.h"
#include "core/price.h"
#include "net/json-scan.h"
#include "net/sse.h"

struct token_usage {
	/* input includes cached and cache writes, these those for an hour, output includes reasoning */
	int64_t input, cached, cache_write, output, reasoning;
	int64_t cache_write_1h;
	int64_t searches; /* of the web, by the provider */
};

struct usage_meter {
	enum api api;
	bool is_events; /* as its first bytes say; until they are there, what its head says */
	bool is_known;	/* they were there */
	/* Of the event at hand. */
	bool choices_empty, event_usage, event_other;
	bool usage_only; /* the event that ended last carries nothing but usage (chat) */
	/* As reported, the largest of each, before they are made comparable. */
	int64_t input, cached, cache_write, cache_write_1h, output, reasoning, tool_input, total;
	int64_t searches;
	int64_t usd_ticks; /* what the provider bills, in units of 1e-10 USD; -1: it does not say */
	int64_t cost_ticks; /* the same as resellers say it ("cost"), of whom it need not be USD of the model's maker */
	char service[16];   /* the tier that answered, as it names it; "" */
	bool is_final;	    /* the output is that of the whole answer */
	int64_t text_bytes; /* of what the model said, thought and called */
	int64_t pieces;	    /* events with such text */
	int64_t unreported; /* of them, after the last numbers */
	char model[128];    /* as served; "" unknown */
	/* An answer of status 200 may still be none. */
	bool failed;
	char failure[JSON_SCAN_TEXT], failure_code[64];
	struct sse sse;
	struct json_scan scan;
};

/* M must not move afterwards. EVENTS: its head says that the answer is an event stream. */
void usage_meter_init(struct usage_meter *m, enum api api, bool events);
/* Takes bytes up to the end of an event at most (all of them when it is no event stream); returns how many.
 * *END: an event ended with them. */
size_t usage_meter_feed(struct usage_meter *m, const char *data, size_t n, bool *end);
/* The answer is over, WHOLE or not. *OUT is what was reported; where that is nothing, or is not of all that came, an
 * estimate: INPUT tokens, the caller's, and for the output a token for four bytes of text, or one for each piece of it.
 * Returns whether it is an estimate. */
bool usage_meter_end(struct usage_meter *m, int64_t input, bool whole, struct token_usage *out);

/* USD of a call that SERVICE ("": the usual tier) answered; a negative number when PRICE is not known. */
double usage_usd(const struct price *price, const struct token_usage *u, const char *service);
