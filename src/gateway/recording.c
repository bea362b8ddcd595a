/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "gateway/internal.h"
#include "gateway/log-line.h"

static struct buf *recording_of(const struct call *c)
{
	return c->account && c->account->record_fd >= 0 ? &c->account->record : NULL;
}

static void frame(struct buf *b, const struct call *c, const char *kind)
{
	buf_adds(b, "{\"call\":");
	log_number(b, c->id);
	buf_adds(b, ",\"kind\":\"");
	buf_adds(b, kind);
	buf_addc(b, '"');
}

static void body(struct call *c, struct buf *b, const char *data, size_t n)
{
	buf_adds(b, ",\"bytes\":");
	log_number(b, (int64_t)n);
	buf_adds(b, "}\n");
	buf_add(b, data, n);
	buf_addc(b, '\n');
	accounts_dirty(c->account, false, true);
}

void recording_request(struct call *c)
{
	struct buf *b = recording_of(c);

	if (!b)
		return;
	const struct request_part p =
		request_chain_cut(&c->account->requests, c->id, c->body.data, c->body.len);
	frame(b, c, "request");
	buf_adds(b, ",\"v\":");
	log_number(b, REQUEST_CHAIN_VERSION);
	if (p.base) {
		buf_adds(b, ",\"base\":");
		log_number(b, p.base);
		buf_adds(b, ",\"head\":");
		log_number(b, (int64_t)p.head);
		buf_adds(b, ",\"tail\":");
		log_number(b, (int64_t)p.tail);
	}
	buf_adds(b, ",\"method\":");
	log_text(b, c->method);
	buf_adds(b, ",\"path\":");
	log_text(b, c->target.data);
	buf_adds(b, ",\"hash\":");
	log_text(b, c->hash);
	body(c, b, c->body.data + p.head, c->body.len - p.head - p.tail);
}

/* The headers lie in the body as they are: a name, a NUL, a value, a NUL. */
void recording_head(struct call *c)
{
	struct buf *b = recording_of(c);

	if (!b)
		return;
	frame(b, c, "head");
	buf_adds(b, ",\"status\":");
	log_number(b, c->status);
	buf_adds(b, ",\"length\":");
	log_number(b, c->answer_length);
	buf_adds(b, c->is_events ? ",\"events\":true" : ",\"events\":false");
	body(c, b, c->answer_headers.data, c->answer_headers.len);
}

void recording_bytes(struct call *c, const char *data, size_t n)
{
	struct buf *b = recording_of(c);

	if (!b || !n)
		return;
	frame(b, c, "body");
	body(c, b, data, n);
}

void recording_end(struct call *c, const struct token_usage *u, bool estimated, const char *end)
{
	struct buf *b = recording_of(c);

	if (!b || !c->key_tried)
		return;
	frame(b, c, "end");
	buf_adds(b, ",\"end\":");
	log_text(b, end);
	buf_adds(b, ",\"model\":");
	log_text(b, c->metering ? c->meter.model : "");
	buf_adds(b, ",\"tokens\":");
	log_usage(b, u);
	buf_adds(b, estimated ? ",\"estimated\":true" : ",\"estimated\":false");
	body(c, b, "", 0);
}
