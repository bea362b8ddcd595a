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
		.at_ms = clock_wall_ms() - (now - c->asked_ms),
		.path = c->target.data,
		.api = api_names[c->endpoint.api],
		.provider = c->key_tried ? c->provider->name : "",
		.key = c->key_used ? c->key_used->id : "",
		.model_asked = c->request.model,
		.model_served = c->metering ? c->meter.model : "",
		.stream = c->request.stream,
		.status = c->status,
		.retries = c->retries,
		.queued_ms = c->queued_total_ms,
		.first_byte_ms = c->first_ms ? c->first_ms - c->asked_ms : -1,
		.total_ms = now - c->asked_ms,
		.tokens = *u,
		.estimated = estimated,
		.usd = usd,
		.request_bytes = c->body_bytes,
		.response_bytes = c->response_bytes,
		.request_hash = c->hash,
		.end = end,
		.error = *c->error && strcmp(end, "ok") ? c->error : NULL,
		.replayed = c->replayed,
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
		recording_put_request(b, &c->account->requests, c->id, c->method, c->target.data,
				      c->hash, &c->body);
}

void recording_head(struct call *c)
{
	struct buf *b = frames_of(c);

	if (b)
		recording_put_head(b, c->id, c->status, c->answer_length, c->is_events,
				   &c->answer_headers);
}

void recording_bytes(struct call *c, const char *data, size_t n)
{
	struct buf *b = n ? frames_of(c) : NULL;

	if (b)
		recording_put_body(b, c->id, data, n);
}

void recording_end(struct call *c, const struct token_usage *u, bool estimated, const char *end)
{
	struct buf *b = c->key_tried ? frames_of(c) : NULL;

	if (b)
		recording_put_end(b, c->id, end, c->metering ? c->meter.model : "", u, estimated);
}
