/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A provider's answer on its way to the agent. An error is kept back until it is whole, since its words say whether it is
 * tried again; of a good answer every byte is handed on as it comes, but for what we asked for ourselves, and for the key, should the provider repeat it.
 */
#include <stdio.h>
#include <string.h>
#include "gateway/internal.h"

enum { KEY_MIN = 8 };

void answer_wake(struct call *c)
{
	if (c->on_todo)
		return;
	c->on_todo = true;
	c->todo_next = c->gw->todo;
	c->gw->todo = c;
}

void answer_own(struct call *c, int status, const char *message)
{
	static const char type[] = "content-type\0application/json";

	c->state = CALL_OVER;
	c->answer.own = c->answer.head_ready = c->answer.done = true;
	c->answer.status = status;
	buf_reset(&c->answer.headers);
	buf_add(&c->answer.headers, type, sizeof type);
	buf_reset(&c->answer.out);
	c->answer.out_at = 0;
	endpoint_error(&c->answer.out, c->asked.endpoint.api, status, message);
	if (!*c->error)
		snprintf(c->error, sizeof c->error, "%s", message);
	c->answer.length = (int64_t)c->answer.out.len;
	answer_wake(c);
}

/* A provider may repeat the key that it was sent, and nobody else is to see that. Returns how many bytes at the
 * end of DATA may be the beginning of it. */
static size_t hide_key(const struct call *c, char *data, size_t n)
{
	const char *key = c->turn.key_used ? c->turn.key_used->key : "";
	size_t len = strlen(key), tail;
	char *at;

	if (len < KEY_MIN) /* a self-hosted server's "none" is no secret */
		return 0;
	while ((at = memmem(data, n, key, len)))
		memset(at, '*', len);
	for (tail = n < len ? n : len - 1; tail && memcmp(data + n - tail, key, tail); tail--)
		;
	return tail;
}

/* It is the agent's, head first. */
static void let_through(struct call *c)
{
	int64_t now = loop_now_ms(c->gw->loop);

	c->turn.pool->good_ms = now;
	c->times.first_ms = now;
	c->answer.head_ready = true;
	recording_head(c);
	answer_wake(c);
}

/* Of an error that is whole, or too large to be kept. */
void answer_pass_error(struct call *c)
{
	c->asked.names.wants_usage = false;
	c->try.kept = false;
	let_through(c);
	c->answer.bytes = (int64_t)c->answer.out.len;
	recording_bytes(c, c->answer.out.data, c->answer.out.len);
}

void answer_got_head(struct call *c)
{
	int64_t now = loop_now_ms(c->gw->loop);

	quota_report(&c->turn.lane->quota, &c->try.report, now);
	hide_key(c, c->answer.headers.data, c->answer.headers.len);
	c->try.kept = c->answer.status >= 300;
	c->answer.metering = !c->try.kept && c->asked.endpoint.kind == ENDPOINT_GENERATE;
	if (c->try.kept) {
		provider_error_init(&c->try.said);
		return;
	}
	quota_clean(&c->turn.lane->quota, now);
	queue_look_soon(c->turn.pool); /* there may be more room now */
	c->turn.pool->shut_ms = 0;
	let_through(c);
	if (c->answer.metering)
		usage_meter_init(&c->answer.meter, c->asked.endpoint.api, c->answer.is_events);
	else
		c->asked.names.wants_usage = false;
	if (c->asked.names.wants_usage) /* a piece of it is withheld */
		c->answer.length = -1;
	answer_wake(c);
}

static void pass(struct call *c, const char *data, size_t n)
{
	buf_add(&c->answer.out, data, n);
	recording_bytes(c, data, n);
}

/* Events are held back until they are whole, so that the one we asked for can be left out. */
static void pass_events(struct call *c, const char *data, size_t n, bool end)
{
	buf_add(&c->answer.held, data, n);
	bool ours = end && c->answer.meter.usage_only;
	if (!end && c->answer.held.len < OUT_MAX)
		return;
	if (!ours)
		pass(c, c->answer.held.data, c->answer.held.len);
	buf_reset(&c->answer.held);
}

/* Of an answer that is none. */
static void keep_error(struct call *c, const char *data, size_t n)
{
	provider_error_feed(&c->try.said, data, n);
	if (!c->try.kept) {
		pass(c, data, n);
		return;
	}
	size_t room = c->answer.out.len < ERROR_MAX ? ERROR_MAX - c->answer.out.len : 0;
	if (!provider_is_busy(c->answer.status) && n > room) {
		answer_pass_error(c);
		pass(c, data, n);
	} else {
		buf_add(&c->answer.out, data, n < room ? n : room);
	}
}

/* What may be the beginning of the key is held back until more of it comes, or nothing does. */
static void pass_error(struct call *c, const char *data, size_t n)
{
	buf_add(&c->answer.held, data, n);
	size_t tail = hide_key(c, c->answer.held.data, c->answer.held.len),
	       whole = c->answer.held.len - tail;
	keep_error(c, c->answer.held.data, whole);
	memmove(c->answer.held.data, c->answer.held.data + whole, tail);
	c->answer.held.len = tail;
	answer_wake(c);
}

/* The answer is over: what was held back goes the same way, but a good part of a key does not. */
void answer_pass_held(struct call *c)
{
	if (!c->answer.held.len)
		return;
	if (c->answer.status >= 300) {
		if (c->answer.held.len >= KEY_MIN)
			memset(c->answer.held.data, '*', c->answer.held.len);
		keep_error(c, c->answer.held.data, c->answer.held.len);
	} else {
		pass(c, c->answer.held.data, c->answer.held.len);
	}
	buf_reset(&c->answer.held);
}

bool answer_got_bytes(struct call *c, const char *data, size_t n)
{
	c->times.byte_ms = loop_now_ms(c->gw->loop);
	if (!c->try.kept && c->answer.out.len - c->answer.out_at >= OUT_MAX) {
		c->try.paused = true;
		return false;
	}
	c->try.bytes += (int64_t)n;
	c->try.endless = c->try.bytes > c->gw->doc.answer_bytes;
	if (c->try.endless)
		return false;
	if (!c->try.kept)
		c->answer.bytes += (int64_t)n;
	if (c->answer.status >= 300) {
		pass_error(c, data, n);
		return true;
	}
	for (size_t at = 0; c->answer.metering && at < n;) {
		bool end;
		size_t taken = usage_meter_feed(&c->answer.meter, data + at, n - at, &end);
		if (c->asked.names.wants_usage && c->answer.meter.is_events)
			pass_events(c, data + at, taken, end);
		else if (c->asked.names.wants_usage)
			pass(c, data + at, taken);
		at += taken;
	}
	if (!c->asked.names.wants_usage)
		pass(c, data, n);
	answer_wake(c);
	return true;
}
