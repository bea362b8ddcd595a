/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * request-chain.h -- requests as a recording keeps them. Each request of a conversation repeats all that was said
 * before: what it has in common with an earlier one, at its beginning and at its end, is not stored again.
 *
 * Writer and reader go through the requests of a recording in the same order, and both keep the last request of a
 * few conversations. Which ones follows from what was stored alone, so that what the writer refers to is at hand
 * for the reader: to keep others is another version of the format (docs/formats.md). Pure.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

#define REQUEST_CHAIN_VERSION 2

struct request_chain {
	struct request_link {
		int64_t call;
		struct buf body;
	} links[4]; /* the first one was added to last */
	size_t n;
};

struct request_part {
	int64_t base;	   /* the call whose request it is like; 0: none, and all of it is stored */
	size_t head, tail; /* bytes that both have at the beginning and at the end */
};

/* What of the request of CALL, a number above 0, need not be stored. */
struct request_part request_chain_cut(struct request_chain *c, int64_t call, const char *body,
				      size_t n);
/* What the head of a stored request says (docs/formats.md). ERR_USAGE when it is of another version. */
int request_part_read(struct request_part *out, const json_t *head, struct err *err) MUST_CHECK;
/* The whole request of CALL, of which P and DATA were stored; borrowed until the next one. NULL: P is wrong. */
const struct buf *request_chain_join(struct request_chain *c, int64_t call,
				     const struct request_part *p, const char *data, size_t n);
void request_chain_release(struct request_chain *c);
