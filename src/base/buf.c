/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/mem.h"

char buf_empty[1];

void buf_grow(struct buf *b, size_t more)
{
	size_t need = b->len + more + 1;

	if (need < more)
		bug("buf_grow: size overflow");
	if (need <= b->cap)
		return;
	size_t cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap = cap > (size_t)-1 / 2 ? need : cap * 2;
	char *data = xrealloc(b->cap ? b->data : NULL, cap);
	if (!b->cap)
		data[0] = '\0';
	b->data = data;
	b->cap = cap;
}

void buf_add(struct buf *b, const void *data, size_t n)
{
	if (!n)
		return;
	buf_grow(b, n);
	memcpy(b->data + b->len, data, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	size_t room = b->cap ? b->cap - b->len : 0;
	int n = vsnprintf(room ? b->data + b->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		bug("buf_addf: bad format");
	if ((size_t)n >= room) {
		buf_grow(b, (size_t)n);
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	b->len += (size_t)n;
}

void buf_add_tail(struct buf *b, const void *data, size_t n, size_t max)
{
	size_t old = n >= max ? 0 : b->len + n > max ? max - n : b->len;

	if (old < b->len) {
		memmove(b->data, b->data + b->len - old, old);
		b->data[b->len = old] = '\0';
	}
	if (n > max) {
		data = (const char *)data + (n - max);
		n = max;
	}
	buf_add(b, data, n);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	if (b->cap)
		b->data[0] = '\0';
}

void buf_release(struct buf *b)
{
	if (b->cap)
		free(b->data);
	*b = (struct buf)BUF_INIT;
}

char *buf_detach(struct buf *b)
{
	char *data = b->cap ? b->data : xstrdup("");

	*b = (struct buf)BUF_INIT;
	return data;
}
