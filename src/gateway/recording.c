/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is kept of a call in the files of its attempt: a line in the call log, and frames of the recording. Both are
 * gathered in memory and written once a turn of the loop.
 */
#include "model/recording.h"
#include "base/clock.h"
#include "gateway/internal.h"
#include "model/call-log.h"

void recording_log(struct call *c, const struct token_usage *u, bool estimated, double usd,
		   const char *end)
{
	int64_t now = loop_now_ms(c->gw->loop);
	const struct logged_call line = {
		.call = c->id,
		.at_ms = clock_wall_ms() - (now - c->times.asked_ms),
		.path = c->asked.target.data,
		.api = api_names[c->asked.endpoint.api],
		.provider = c->turn.key_tried ? c->provider->name : "",
		.key = c->turn.key_used ? c->turn.key_used->id : "",
		.model_asked = c->asked.names.model,
		.model_served = c->answer.metering ? c->answer.meter.model : "",
		.stream = c->asked.names.stream,
		.status = c->answer.status,
		.retries = c->times.retries,
		.queued_ms = c->times.queued_total_ms,
		.first_byte_ms = c->times.first_ms ? c->times.first_ms - c->times.asked_ms : -1,
		.total_ms = now - c->times.asked_ms,
		.tokens = *u,
		.estimated = estimated,
		.usd = usd,
		.request_bytes = c->asked.body_bytes,
		.response_bytes = c->answer.bytes,
		.request_hash = c->asked.hash,
		.end = end,
		.error = *c->error && strcmp(end, "ok") ? c->error : NULL,
		.replayed = c->replayed,
		.differs = *c->differs ? c->differs : NULL,
	};

	call_log_write(&c->account->log, &line);
	accounts_dirty(c->account, false, true);
}

/* Where frames of C go, which are to be written; NULL: nothing is kept. */
static struct buf *frames_of(struct call *c)
{
	if (!c->account || c->account->record_fd < 0)
		return NULL;
	accounts_dirty(c->account, false, true);
	return &c->account->record;
}

void recording_request(struct call *c)
{
	struct buf *b = frames_of(c);

	if (b)
		recording_put_request(b, &c->account->requests, c->id, c->asked.method,
				      c->asked.target.data, c->asked.hash, &c->asked.body);
}

void recording_head(struct call *c)
{
	struct buf *b = frames_of(c);

	if (b)
		recording_put_head(b, c->id, c->answer.status, c->answer.length,
				   c->answer.is_events, &c->answer.headers);
}

void recording_bytes(struct call *c, const char *data, size_t n)
{
	struct buf *b = n ? frames_of(c) : NULL;

	if (b)
		recording_put_body(b, c->id, data, n);
}

void recording_end(struct call *c, const struct token_usage *u, bool estimated, const char *end)
{
	struct buf *b = c->turn.key_tried ? frames_of(c) : NULL;

	if (b)
		recording_put_end(b, c->id, end, c->answer.metering ? c->answer.meter.model : "", u,
				  estimated);
}
