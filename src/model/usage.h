/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * usage.h -- what a model call used, and what that costs. The provider's own numbers are read out of an answer
 * while it passes, in each dialect, streamed or not, in constant memory. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/api.h"
#include "net/json-scan.h"
#include "net/sse.h"

struct token_usage {
	/* input includes cached and cache writes, output includes reasoning */
	int64_t input, cached, cache_write, output, reasoning;
};

struct usage_meter {
	enum api api;
	bool is_events;
	bool reported;			 /* the provider gave final numbers */
	bool choices_empty, event_usage; /* of the event at hand */
	bool usage_only; /* the event that ended last carries nothing but usage (chat) */
	/* As reported, before they are made comparable. */
	int64_t input, cached, cache_write, output, reasoning, tool_input;
	char model[128]; /* as served; "" unknown */
	struct sse sse;
	struct json_scan scan;
};

/* M must not move afterwards. EVENTS: the answer is an event stream. */
void usage_meter_init(struct usage_meter *m, enum api api, bool events);
/* Takes bytes up to the end of an event at most (all of them when it is no event stream); returns how many.
 * *END: an event ended with them. */
size_t usage_meter_feed(struct usage_meter *m, const char *data, size_t n, bool *end);
/* The answer is over. *OUT is what was reported; where that is nothing, or broke off, an estimate: a token
 * is four bytes of the request or the answer. Returns whether it is an estimate. */
bool usage_meter_end(struct usage_meter *m, int64_t request_bytes, int64_t response_bytes,
		     bool whole, struct token_usage *out);

struct token_price {
	bool known;
	double input, cached, cache_write, output; /* USD per million tokens */
};

/* USD; a negative number when PRICE is not known. */
double usage_usd(const struct token_price *price, const struct token_usage *u);
