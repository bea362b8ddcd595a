/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/clock.h"
#include "gateway/internal.h"
#include "gateway/log-line.h"

void log_text(struct buf *out, const char *text)
{
	static const char hex[] = "0123456789abcdef";

	buf_addc(out, '"');
	for (const char *from = text;; text++) {
		unsigned char ch = (unsigned char)*text;
		if (ch >= 32 && ch != '"' && ch != '\\' && ch < 127)
			continue;
		buf_add(out, from, (size_t)(text - from));
		if (!ch)
			break;
		if (ch == '"' || ch == '\\') {
			buf_addc(out, '\\');
			buf_addc(out, (char)ch);
		} else if (ch < 127) {
			buf_add(out, (char[]){'\\', 'u', '0', '0', hex[ch >> 4], hex[ch & 15]}, 6);
		} else {
			buf_addc(
				out,
				'?'); /* paths and names: what is not plain is not worth a decoder */
		}
		from = text + 1;
	}
	buf_addc(out, '"');
}

void log_number(struct buf *out, int64_t v)
{
	char digits[24], *p = digits + sizeof digits;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		*--p = (char)('0' + u % 10);
	while (u /= 10);
	if (v < 0)
		*--p = '-';
	buf_add(out, p, (size_t)(digits + sizeof digits - p));
}

static void put_text(struct buf *out, const char *key, const char *text)
{
	buf_adds(out, key);
	log_text(out, text);
}

static void put_number(struct buf *out, const char *key, int64_t v)
{
	buf_adds(out, key);
	log_number(out, v);
}

void log_usage(struct buf *out, const struct token_usage *u)
{
	put_number(out, "{\"input\":", u->input);
	put_number(out, ",\"cached\":", u->cached);
	put_number(out, ",\"cache_write\":", u->cache_write);
	put_number(out, ",\"output\":", u->output);
	put_number(out, ",\"reasoning\":", u->reasoning);
	buf_addc(out, '}');
}

void log_line(struct buf *out, const struct call *c, const struct token_usage *u, bool estimated,
	      double usd, const char *end)
{
	int64_t now = loop_now_ms(c->gw->loop);
	bool served = c->metering && *c->meter.model;

	put_number(out, "{\"v\":1,\"call\":", c->id);
	put_number(out, ",\"at\":", clock_wall_ms() - (now - c->asked_ms));
	put_text(out, ",\"path\":", c->target.data);
	put_text(out, ",\"api\":", api_name(c->endpoint.api));
	put_text(out, ",\"provider\":", c->key_tried ? c->provider->name : "");
	put_text(out, ",\"key\":", c->key_used ? c->key_used->id : "");
	put_text(out, ",\"model_asked\":", c->request.model);
	put_text(out, ",\"model_served\":", served ? c->meter.model : "");
	buf_adds(out, c->request.stream ? ",\"stream\":true" : ",\"stream\":false");
	put_number(out, ",\"status\":", c->status);
	put_number(out, ",\"retries\":", c->retries);
	put_number(out, ",\"queued_ms\":", c->queued_total_ms);
	buf_adds(out, ",\"first_byte_ms\":");
	if (c->first_ms)
		log_number(out, c->first_ms - c->asked_ms);
	else
		buf_adds(out, "null");
	put_number(out, ",\"total_ms\":", now - c->asked_ms);
	buf_adds(out, ",\"tokens\":");
	log_usage(out, u);
	buf_adds(out, estimated ? ",\"estimated\":true" : ",\"estimated\":false");
	if (usd < 0)
		buf_adds(out, ",\"usd\":null");
	else
		buf_addf(out, ",\"usd\":%.9g", usd);
	put_number(out, ",\"request_bytes\":", c->body_bytes);
	put_number(out, ",\"response_bytes\":", c->response_bytes);
	put_text(out, ",\"model_request_hash\":", c->hash);
	put_text(out, ",\"end\":", end);
	if (*c->error && strcmp(end, "ok"))
		put_text(out, ",\"error\":", c->error);
	else
		buf_adds(out, ",\"error\":null");
	buf_adds(out, c->replayed ? ",\"replayed\":true}\n" : "}\n");
}
