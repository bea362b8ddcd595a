/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * route.h -- which API a path belongs to, and what an error looks like there. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "gateway/setup.h"

enum route_kind {
	ROUTE_GENERATE, /* a model answers: metered, counted, limited */
	ROUTE_COUNT,	/* counts tokens: passed through */
	ROUTE_MODELS,	/* lists models: passed through */
	ROUTE_UPGRADE,	/* a WebSocket is asked for: 426, and the client comes again without */
	ROUTE_NONE,	/* 404 */
	ROUTE_METHOD,	/* 405 */
};

struct route {
	enum route_kind kind;
	enum api api;
	bool stream;	   /* of Gemini, whose path says so */
	const char *model; /* of Gemini, not terminated: inside the URI */
	size_t model_len;
};

/* URI as the request line has it. UPGRADE: it has an Upgrade header. */
struct route route_of(const char *method, const char *uri, bool upgrade);
/* The URI without its token: `key` is taken from the query, other bytes stay as they are. KEY gets its
 * value, "" if there was none. */
void route_strip_key(const char *uri, struct buf *out, struct buf *key);

/* A body as the API's clients expect it; MESSAGE is ours and plain. */
void route_error(struct buf *out, enum api api, int status, const char *message);
