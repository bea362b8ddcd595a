/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sse.h -- an event stream (text/event-stream) as it passes: where events end, and the bytes of their data.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sse {
	uint8_t state, field_len;
	char field[8];
	bool after_cr; /* a newline that follows belongs to it */
	bool line_used;
};

void sse_init(struct sse *s);
/* Take bytes up to the end of an event at most; returns how many. *END: an event ended with them. DATA is
 * called with each piece of the values of `data:` lines (and a newline between lines). */
size_t sse_feed(struct sse *s, const char *bytes, size_t n, bool *end,
		void (*data)(void *ctx, const char *bytes, size_t n), void *ctx);
