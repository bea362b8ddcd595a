/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * buf.h -- growing bytes. `data` is never NULL and always NUL-terminated at data[len].
 */
#pragma once
#include <stddef.h>

struct buf {
	char *data;
	size_t len, cap;
};

extern char buf_empty[1]; /* what an unallocated buf points at; never written */
#define BUF_INIT                                                                                   \
	{                                                                                          \
		buf_empty, 0, 0                                                                    \
	}

void buf_grow(struct buf *b, size_t more); /* room for MORE bytes and the NUL */
void buf_add(struct buf *b, const void *data, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Append, and drop from the front what is more than MAX bytes. */
void buf_add_tail(struct buf *b, const void *data, size_t n, size_t max);
void buf_reset(struct buf *b);	 /* empties, keeps the memory */
void buf_release(struct buf *b); /* frees and makes it usable again */
char *buf_detach(struct buf *b); /* the caller owns the result; b is empty afterwards */

static inline void auto_buf(struct buf *b)
{
	buf_release(b);
}
