/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * excerpt.h -- the beginning and the end of a stream, for documents.
 */
#pragma once
#include <stddef.h>
#include "base/buf.h"

#define EXCERPT_BYTES (5u << 10) /* kept of each end */

struct excerpt {
	struct buf head, tail;
	size_t total;
};

#define EXCERPT_INIT                                                                               \
	{                                                                                          \
		BUF_INIT, BUF_INIT, 0                                                              \
	}

void excerpt_add(struct excerpt *e, const char *data, size_t n);
/* Append what was kept, the gap stated, as valid UTF-8 (other bytes and control characters
 * escaped). */
void excerpt_text(const struct excerpt *e, struct buf *out);
void excerpt_release(struct excerpt *e);
