/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * json-scan.h -- JSON of any size as it arrives, in constant memory: the scalars near its root are handed
 * out with their paths, everything else is passed over. It is no validator: text that is not JSON gives
 * nothing, or something odd, and never harm.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { JSON_SCAN_LEVELS = 8, JSON_SCAN_DEPTH = 1024, JSON_SCAN_PATH = 160, JSON_SCAN_TEXT = 160 };

enum json_scan_kind {
	JSON_SCAN_STRING,
	JSON_SCAN_PLAIN, /* a number, true, false, null */
	JSON_SCAN_EMPTY, /* a list without an element; no text */
};

struct json_scan {
	/* PATH: "usage.input_tokens", "choices.[].index"; of at most JSON_SCAN_LEVELS names. TEXT: terminated,
	 * escapes as they stand, cut to JSON_SCAN_TEXT - 1 bytes. */
	void (*on)(void *ctx, const char *path, enum json_scan_kind kind, const char *text);
	void *ctx;
	uint8_t state;
	bool fresh; /* the container has had no element yet */
	uint16_t depth, path_len, text_len;
	size_t string_bytes; /* of the string that is handed out: all of it, as it stands */
	uint16_t mark[JSON_SCAN_LEVELS + 1]; /* where the path of each level ends */
	char path[JSON_SCAN_PATH], text[JSON_SCAN_TEXT];
	uint8_t lists[JSON_SCAN_DEPTH /
		      8]; /* a bit for each open container: a list, not an object */
};

void json_scan_init(struct json_scan *s,
		    void (*on)(void *ctx, const char *path, enum json_scan_kind kind,
			       const char *text),
		    void *ctx);
void json_scan_reset(struct json_scan *s); /* a new text begins */
void json_scan_feed(struct json_scan *s, const char *data, size_t n);
/* The text is over: a number at its very end counts. */
void json_scan_end(struct json_scan *s);
