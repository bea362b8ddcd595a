/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A provider's answer on its way to the agent. An error is kept back until it is whole, since its words say whether it is
 * tried again; of a good answer every byte is handed on as it comes, but for what we asked for ourselves, and for the key, should the provider repeat it.
 */
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "gateway/internal.h"

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

/* A provider may repeat the key that it was sent, and nobody else is to see that: of the head here, of the rest by its mask. */
static void hide_key(struct call *c)
{
	AUTO(buf) struct buf masked = BUF_INIT;
	struct key_mask m = KEY_MASK_INIT;

	if (!c->turn.key_used)
		return;
	key_mask_begin(&c->answer.mask, c->turn.key_used->key, c->answer.is_events);
	key_mask_begin(&m, c->turn.key_used->key, false);
	key_mask_feed(&m, c->answer.headers.data, c->answer.headers.len, &masked);
	key_mask_end(&m, &masked);
	key_mask_release(&m);
	memcpy(c->answer.headers.data, masked.data, masked.len);
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
	hide_key(c);
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

/* Of what the key was taken out. */
static void pass_masked(struct call *c, const char *data, size_t n)
{
	if (c->answer.status >= 300) {
		keep_error(c, data, n);
		return;
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
}

void answer_pass_held(struct call *c)
{
	AUTO(buf) struct buf rest = BUF_INIT;

	key_mask_end(&c->answer.mask, &rest);
	if (rest.len)
		pass_masked(c, rest.data, rest.len);
	if (c->answer.held.len)
		pass(c, c->answer.held.data, c->answer.held.len);
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
	if (c->answer.mask.key) {
		AUTO(buf) struct buf masked = BUF_INIT;
		key_mask_feed(&c->answer.mask, data, n, &masked);
		pass_masked(c, masked.data, masked.len);
	} else {
		pass_masked(c, data, n);
	}
	answer_wake(c);
	return true;
}
