/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/call-log.h"
#include <string.h>
#include "base/json.h"
#include "model/endpoint.h"
#include "model/json-text.h"

void call_log_write(struct buf *out, const struct logged_call *c)
{
	json_text_number(out, "{\"v\":1,\"call\":", c->call);
	json_text_number(out, ",\"at\":", c->at_ms);
	json_text_string(out, ",\"path\":", c->path);
	json_text_string(out, ",\"api\":", c->api);
	json_text_string(out, ",\"provider\":", c->provider);
	json_text_string(out, ",\"key\":", c->key);
	json_text_string(out, ",\"model_asked\":", c->model_asked);
	json_text_string(out, ",\"model_served\":", c->model_served);
	json_text_bool(out, ",\"stream\":", c->stream);
	json_text_number(out, ",\"status\":", c->status);
	json_text_number(out, ",\"retries\":", c->retries);
	json_text_number(out, ",\"queued_ms\":", c->queued_ms);
	if (c->first_byte_ms >= 0)
		json_text_number(out, ",\"first_byte_ms\":", c->first_byte_ms);
	else
		buf_adds(out, ",\"first_byte_ms\":null");
	json_text_number(out, ",\"total_ms\":", c->total_ms);
	json_text_usage(out, ",\"tokens\":", &c->tokens);
	json_text_bool(out, ",\"estimated\":", c->estimated);
	if (c->usd < 0)
		buf_adds(out, ",\"usd\":null");
	else
		buf_addf(out, ",\"usd\":%.9g", c->usd);
	json_text_number(out, ",\"request_bytes\":", c->request_bytes);
	json_text_number(out, ",\"response_bytes\":", c->response_bytes);
	json_text_string(out, ",\"request_hash\":", c->request_hash);
	json_text_string(out, ",\"end\":", c->end);
	if (c->error)
		json_text_string(out, ",\"error\":", c->error);
	else
		buf_adds(out, ",\"error\":null");
	if (c->replayed)
		buf_adds(out, ",\"replayed\":true");
	if (c->differs)
		json_text_string(out, ",\"differs\":", c->differs);
	buf_adds(out, "}\n");
}

static void read_line(struct logged_call *out, const json_t *j)
{
	*out = (struct logged_call){
		.call = json_get_int(j, "call", 0),
		.at_ms = json_get_int(j, "at", 0),
		.path = json_get_str(j, "path", ""),
		.api = json_get_str(j, "api", ""),
		.provider = json_get_str(j, "provider", ""),
		.key = json_get_str(j, "key", ""),
		.model_asked = json_get_str(j, "model_asked", ""),
		.model_served = json_get_str(j, "model_served", ""),
		.stream = json_get_bool(j, "stream", false),
		.status = (int)json_get_int(j, "status", 0),
		.retries = (int)json_get_int(j, "retries", 0),
		.queued_ms = json_get_int(j, "queued_ms", 0),
		.first_byte_ms = json_get_int(j, "first_byte_ms", -1),
		.total_ms = json_get_int(j, "total_ms", 0),
		.tokens = json_text_usage_read(json_object_get(j, "tokens")),
		.estimated = json_get_bool(j, "estimated", false),
		.usd = json_get_real(j, "usd", -1),
		.request_bytes = json_get_int(j, "request_bytes", 0),
		.response_bytes = json_get_int(j, "response_bytes", 0),
		.request_hash = json_get_str(j, "request_hash", ""),
		.end = json_get_str(j, "end", "ok"),
		.error = json_get_str(j, "error", NULL),
		.replayed = json_get_bool(j, "replayed", false),
		.differs = json_get_str(j, "differs", NULL),
	};
}

bool call_log_read(struct call_log_reader *r, struct logged_call *out)
{
	while (r->at < r->end) {
		const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
		const char *end = newline ? newline : r->end;

		json_decref(r->line);
		r->line = json_loadb(r->at, (size_t)(end - r->at), 0, NULL);
		r->at = newline ? newline + 1 : r->end;
		if (json_is_object(r->line)) {
			read_line(out, r->line);
			return true;
		}
		r->damaged++;
	}
	return false;
}

void call_log_release(struct call_log_reader *r)
{
	json_decref(r->line);
	r->line = NULL;
}

bool call_log_is_paid(const struct logged_call *c)
{
	return *c->provider && !c->replayed &&
	       endpoint_of("POST", c->path, false).kind == ENDPOINT_GENERATE;
}

void call_log_add_up(struct call_log_sum *to, const char *text, size_t len)
{
	struct call_log_reader r = {.at = text, .end = text + len};
	struct logged_call c;

	while (call_log_read(&r, &c)) {
		if (!call_log_is_paid(&c))
			continue;
		to->calls++;
		to->tokens += c.tokens.input + c.tokens.output;
		to->usd += c.usd >= 0 ? c.usd : 0;
		to->unpriced_calls += c.usd < 0;
	}
	call_log_release(&r);
}
