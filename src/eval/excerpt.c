/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "eval/excerpt.h"
#include <string.h>
#include "base/text.h"

static void drop_front(struct buf *b, size_t n)
{
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

void excerpt_add(struct excerpt *e, const char *data, size_t n)
{
	size_t head = EXCERPT_BYTES - e->head.len;

	e->total += n;
	if (head > n)
		head = n;
	buf_add(&e->head, data, head);
	data += head;
	n -= head;
	if (n > EXCERPT_BYTES) {
		data += n - EXCERPT_BYTES;
		n = EXCERPT_BYTES;
	}
	buf_add(&e->tail, data, n);
	/* Twice the room before moving: each byte is moved once, whatever the size of the pieces.
	 */
	if (e->tail.len > 2 * EXCERPT_BYTES)
		drop_front(&e->tail, e->tail.len - EXCERPT_BYTES);
}

void excerpt_text(const struct excerpt *e, struct buf *out)
{
	size_t tail = e->tail.len < EXCERPT_BYTES ? e->tail.len : EXCERPT_BYTES;
	size_t gap = e->total - e->head.len - tail;

	text_render(out, e->head.data, e->head.len, TEXT_TERMINAL);
	if (gap)
		buf_addf(out, "\n... %zu bytes left out ...\n", gap);
	text_render(out, e->tail.data + e->tail.len - tail, tail, TEXT_TERMINAL);
}

void excerpt_release(struct excerpt *e)
{
	buf_release(&e->head);
	buf_release(&e->tail);
	e->total = 0;
}
