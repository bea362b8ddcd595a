/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * endpoint.h -- which API a path belongs to, and what an error looks like there. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "core/api.h"

enum endpoint_kind {
	ENDPOINT_GENERATE, /* a model answers: metered, counted, limited */
	ENDPOINT_COUNT,	   /* counts tokens: passed through */
	ENDPOINT_MODELS,   /* lists models: passed through */
	ENDPOINT_UPGRADE,  /* a WebSocket is asked for: 426, and the client comes again without */
	ENDPOINT_NONE,	   /* 404 */
	ENDPOINT_METHOD,   /* 405 */
};

struct endpoint {
	enum endpoint_kind kind;
	enum api api;
	bool stream;	   /* of Gemini, whose path says so; of others once the body was read */
	const char *model; /* the same; of Gemini not terminated: inside the URI */
	size_t model_len;
};

/* URI as the request line has it. UPGRADE: it has an Upgrade header. */
struct endpoint endpoint_of(const char *method, const char *uri, bool upgrade);
/* The URI without its token: `key` is taken from the query, other bytes stay as they are. KEY gets its
 * value, "" if there was none. */
void endpoint_strip_key(const char *uri, struct buf *out, struct buf *key);

/* Where a provider is asked what a client asks of TARGET, a path of API with its query. BASE is its URL as vendors print
 * it: one whose path ends in a version ("/v1", "/api/paas/v4", "/v1beta/openai") is complete, and the version of TARGET
 * falls away. OWN_PATH (NULL: none) stands for the whole path; "{model}" in it for the model of E,
 * "{verb}" for what is asked of it (generateContent, streamGenerateContent; of Anthropic's API rawPredict, streamRawPredict). */
void endpoint_url(struct buf *out, const char *base, const char *own_path, const struct endpoint *e,
		  const char *target, size_t len);
/* The same for a request of MODEL as our own programs make it, for people to look at. */
void endpoint_url_of(struct buf *out, const char *base, const char *own_path, enum api api,
		     const char *model);

/* A body as the API's clients expect it; MESSAGE is ours and plain. */
void endpoint_error(struct buf *out, enum api api, int status, const char *message);
