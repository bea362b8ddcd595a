/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * request.h -- what the gateway wants to know of a request's body, and its normalised hash. The body is
 * read where it lies and never changed, but for model_request_patch. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/hash.h"
#include "core/api.h"

struct model_request {
	char model[128]; /* "" when the body names none */
	bool stream;
	bool background; /* the answer is to be fetched later */
	/* A chat stream that would end without its usage: what the body is to hold instead of the bytes
	 * [usage_at, usage_at + usage_drop). */
	bool wants_usage;
	size_t usage_at, usage_drop;
	const char *usage_words;
	char usage_had[8];	     /* those bytes */
	size_t model_at, model_drop; /* the member that names the model; 0: there is none */
	int64_t tokens;		     /* an estimate: four bytes each, a picture or a file 1,000 */
	char odd[120];		     /* why nobody can tell what it asks; "" */
};

/* Of a body that is not a JSON object, everything but ODD stays empty. */
void model_request_read(struct model_request *out, enum api api, const char *body, size_t len);
/* Write what R found missing, and take it back. */
void model_request_patch(const struct model_request *r, struct buf *body);
/* Instead of the model's name the body says {"anthropic_version": VERSION}; only where R is of that body as it is. */
void model_request_put_version(struct model_request *r, struct buf *body, const char *version);
void model_request_unpatch(const struct model_request *r, struct buf *body);

/*
 * Two requests have the same hash when they ask for the same thing. Left out: the members that name a
 * session, a user or a run (model_request_is_volatile), white space between tokens, and in strings whatever looks
 * like a UUID, a date, a time of day, or seconds taken ("0.03s"). The order of members counts: a client
 * keeps its own.
 */
void model_request_hash(const char *method, const char *path, const char *body, size_t len,
			char out[HASH_HEX]);
/* The same over what the agent decides: without what its tools answered and without the ids of calls, which differ
 * though an agent does the same (the times of `ls -l`, a process id, the id of a chunk of output). */
void model_request_loose_hash(const char *method, const char *path, const char *body, size_t len,
			      char out[HASH_HEX]);
bool model_request_is_volatile(const char *name,
			       size_t len); /* of a member at the top of the body */
/* TEXT as model_request_hash sees the inside of a string. */
void model_request_normal_text(struct buf *out, const char *text, size_t len);
