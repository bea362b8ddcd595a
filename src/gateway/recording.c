/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is kept of a call in the files of its attempt: a line in the call log, and frames of the recording. Both are
 * gathered in memory and written once a turn of the loop.
 */
#include "model/recording.h"
#include <errno.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gateway/internal.h"
#include "model/call-log.h"

static struct logged_call line_of(struct call *c, const struct token_usage *u, bool estimated,
				  double usd, const char *end)
{
	int64_t now = loop_now_ms(c->gw->loop);

	return (struct logged_call){
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
}

void recording_log(struct call *c, const struct token_usage *u, bool estimated, double usd,
		   const char *end)
{
	const struct logged_call line = line_of(c, u, estimated, usd, end);

	call_log_write(&c->account->log, &line);
	if (c->open_line)
		c->account->open[c->open_line - 1] = OPEN_ENDED;
	accounts_dirty(c->account, false, true);
}

static void write_open(struct account *a, size_t line, struct buf *text)
{
	ssize_t n;

	while (text->len < CALL_OPEN_BYTES - 1)
		buf_addc(text, ' ');
	buf_addc(text, '\n');
	do
		n = pwrite(a->open_fd, text->data, text->len, (off_t)(line * CALL_OPEN_BYTES));
	while (n < 0 && errno == EINTR);
}

void recording_open(struct call *c)
{
	struct account *a = c->account;
	AUTO(buf) struct buf text = BUF_INIT;
	size_t i = 0;

	if (!a || a->open_fd < 0 || c->open_line)
		return;
	/* What it is known to cost: its answer may have cost as much again, but nobody saw it. */
	const struct token_usage u = {.input = accounts_guess_input(a, c->asked.names.tokens)};
	struct logged_call line = line_of(c, &u, true, usage_usd(c->price, &u, ""), "lost");
	line.path = c->asked.target.len < CALL_OPEN_BYTES / 4 ? line.path : "";
	line.error = NULL;
	call_log_write(&text, &line);
	if (text.len && text.data[text.len - 1] == '\n')
		text.len--;
	if (text.len >= CALL_OPEN_BYTES)
		return;
	while (i < a->open_n && a->open[i] != OPEN_FREE)
		i++;
	if (i == a->open_n) {
		GROW(a->open, a->open_n, a->open_cap);
		a->open_n++;
	}
	a->open[i] = OPEN_SENT;
	c->open_line = (int)i + 1;
	write_open(a, i, &text);
}

void recording_blank(struct account *a)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < a->open_n; i++)
		if (a->open[i] == OPEN_ENDED) {
			buf_reset(&text);
			write_open(a, i, &text);
			a->open[i] = OPEN_FREE;
		}
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
