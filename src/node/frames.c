/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/frames.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"

enum { HEAD = 9, READ_BYTES = 64 << 10, READ_ROUNDS = 16, TALK_MAX = 1 << 20 };

void frames_open(struct frames *f, int in, int out)
{
	frames_release(f);
	f->in = in;
	f->out = out;
}

void frames_release(struct frames *f)
{
	buf_release(&f->begun);
	buf_release(&f->waiting);
	*f = (struct frames)FRAMES_NONE;
}

static void put_number(unsigned char *at, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		at[i] = (unsigned char)(n >> (24 - 8 * i));
}

static uint32_t number_at(const char *at)
{
	uint32_t n = 0;

	for (int i = 0; i < 4; i++)
		n = n << 8 | (unsigned char)at[i];
	return n;
}

void frames_send(struct frames *f, enum frame_type type, uint32_t id, const void *data, size_t len)
{
	unsigned char head[HEAD];

	if (f->out < 0)
		return;
	if (len > FRAME_MAX)
		bug("a frame of %zu bytes", len);
	put_number(head, (uint32_t)len);
	head[4] = (unsigned char)type;
	put_number(head + 5, id);
	buf_add(&f->waiting, head, sizeof head);
	buf_add(&f->waiting, data, len);
}

bool frames_are_many(const struct frames *f)
{
	return f->waiting.len - f->waiting_at > FRAMES_FULL;
}

/* Bytes that are done with go when they are half of all. */
static void drop_front(struct buf *b, size_t *at)
{
	if (*at * 2 < b->len)
		return;
	memmove(b->data, b->data + *at, b->len - *at);
	b->len -= *at;
	if (b->cap)
		b->data[b->len] = '\0';
	*at = 0;
}

bool frames_write(struct frames *f)
{
	while (f->waiting.len > f->waiting_at) {
		ssize_t n = write(f->out, f->waiting.data + f->waiting_at,
				  f->waiting.len - f->waiting_at);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		f->waiting_at += (size_t)n;
	}
	drop_front(&f->waiting, &f->waiting_at);
	return true;
}

/* False: that is no frame. */
static bool hand_on(struct frames *f, void (*fn)(void *arg, const struct frame *frame), void *arg)
{
	/* The handler may close the connection. */
	while (f->in >= 0 && !f->is_ungreeted && f->begun.len - f->begun_at >= HEAD) {
		const char *head = f->begun.data + f->begun_at;
		struct frame frame = {.type = head[4],
				      .id = number_at(head + 5),
				      .data = head + HEAD,
				      .len = number_at(head)};
		if (frame.len > FRAME_MAX)
			return false;
		if (f->begun.len - f->begun_at < HEAD + frame.len)
			break;
		f->begun_at += HEAD + frame.len;
		fn(arg, &frame);
	}
	drop_front(&f->begun, &f->begun_at);
	return true;
}

/* False: nobody talks that much. */
static bool find_greeting(struct frames *f)
{
	const size_t n = strlen(FRAMES_GREETING);
	const char *found =
		f->begun.len ? memmem(f->begun.data, f->begun.len, FRAMES_GREETING, n) : NULL;

	if (!found)
		return f->begun.len < TALK_MAX;
	f->begun_at = (size_t)(found + n - f->begun.data);
	f->is_ungreeted = false;
	return true;
}

bool frames_read(struct frames *f, void (*fn)(void *arg, const struct frame *frame), void *arg)
{
	char block[READ_BYTES];

	for (int i = 0; i < READ_ROUNDS && f->in >= 0; i++) {
		ssize_t n = read(f->in, block, sizeof block);
		if (n < 0 && errno != EINTR)
			return errno == EAGAIN;
		if (n == 0)
			return false;
		if (n > 0)
			buf_add(&f->begun, block, (size_t)n);
		if (f->is_ungreeted && !find_greeting(f))
			return false;
		if (!hand_on(f, fn, arg))
			return false;
	}
	return true;
}
