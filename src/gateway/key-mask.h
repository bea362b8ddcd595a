/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * key-mask.h -- takes a key out of an answer that comes in pieces. It is found in bytes as they are, with JSON's escapes, and
 * where it was told a few letters at a time, in the strings that events of a stream add to each other. Each of its bytes
 * becomes an asterisk: lengths stay. What may be the beginning of a key is held back until more is known. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

enum { KEY_MASK_TEXTS = 12 };

/* How much of the key has been seen, and where: a ring of its last letters. */
struct key_match {
	uint64_t *at; /* NULL: nothing was ever looked at */
	uint8_t *width;
	uint64_t seen;
	size_t n;
};

struct key_mask {
	char *key; /* NULL: none to hide */
	size_t len;
	size_t patience; /* of so many letters on it is held back */
	size_t *fallback;
	struct key_match all, texts[KEY_MASK_TEXTS];
	struct buf held;
	uint64_t base; /* of the answer's bytes, which is the first of HELD */
	/* Where in JSON we are. */
	uint64_t escape_at;
	unsigned escaped, code; /* how many bytes of an escape have been read, and its value */
	bool in_string, after_colon;
	int text; /* which of TEXTS the string belongs to; -1: none */
	char name[24];
	size_t name_len;
	int named; /* what the last name means for its value, as TEXT */
};

#define KEY_MASK_INIT                                                                              \
	{                                                                                          \
		.held = BUF_INIT                                                                   \
	}

/* A new answer. KEY is copied; one that is shorter than 8 bytes (a self-hosted server's "none") is no secret. EVENTS: it is
 * a stream, and a few letters that look like a key's are not worth a wait. */
void key_mask_begin(struct key_mask *m, const char *key, bool events);
/* More of it: what may be passed on is appended to OUT. */
void key_mask_feed(struct key_mask *m, const char *data, size_t n, struct buf *out);
/* It is over; a good part of a key at its end does not pass either. */
void key_mask_end(struct key_mask *m, struct buf *out);
void key_mask_release(struct key_mask *m);
