/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/usage.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"

struct field {
	const char *path;
	size_t offset; /* of an int64_t in struct usage_meter */
};

#define AT(member) offsetof(struct usage_meter, member)
/* Servers that speak one of OpenAI's two dialects name their numbers as the other does, and as vendors of their own. */
static const struct field openai_fields[] = {
	{"prompt_tokens", AT(input)},
	{"input_tokens", AT(input)},
	{"completion_tokens", AT(output)},
	{"output_tokens", AT(output)},
	{"total_tokens", AT(total)},
	{"prompt_tokens_details.cached_tokens", AT(cached)},
	{"input_tokens_details.cached_tokens", AT(cached)},
	{"prompt_cache_hit_tokens", AT(cached)},
	{"cached_tokens", AT(cached)},
	{"prompt_tokens_details.cache_write_tokens", AT(cache_write)},
	{"input_tokens_details.cache_write_tokens", AT(cache_write)},
	{"completion_tokens_details.reasoning_tokens", AT(reasoning)},
	{"output_tokens_details.reasoning_tokens", AT(reasoning)},
	{"reasoning_tokens", AT(reasoning)},
	{"prompt_tokens_details.cache_creation_input_tokens", AT(cache_write)},
	{"num_cached_tokens", AT(cached)},
	{"cost_in_usd_ticks", AT(usd_ticks)},
	{NULL, 0},
};
/* message_start has the input and a first output count; message_delta counts the output so far. */
static const struct field anthropic_fields[] = {
	{"input_tokens", AT(input)},
	{"cache_read_input_tokens", AT(cached)},
	{"cache_creation_input_tokens", AT(cache_write)},
	{"output_tokens", AT(output)},
	{"output_tokens_details.thinking_tokens", AT(reasoning)},
	{"cache_creation.ephemeral_1h_input_tokens", AT(cache_write_1h)},
	{"server_tool_use.web_search_requests", AT(searches)},
	{NULL, 0},
};
static const struct field gemini_fields[] = {
	{"promptTokenCount", AT(input)},	 {"toolUsePromptTokenCount", AT(tool_input)},
	{"cachedContentTokenCount", AT(cached)}, {"candidatesTokenCount", AT(output)},
	{"thoughtsTokenCount", AT(reasoning)},	 {NULL, 0},
};

/* Where the text of an answer stands, whole and in pieces; one that ends in a dot covers whatever lies below. */
static const char *const chat_text[] = {"content",
					"reasoning_content",
					"reasoning",
					"refusal",
					"content.[].text",
					"tool_calls.[].function.arguments",
					"function_call.arguments",
					"reasoning_details.[].text",
					NULL};
static const char *const responses_text[] = {
	"output.[].content.[].text", "output.[].content.[].refusal",
	"output.[].arguments",	     "output.[].summary.[].text",
	"output.[].input",	     NULL};
static const char *const responses_pieces[] = {"delta", NULL};
static const char *const anthropic_text[] = {"content.[].text", "content.[].thinking",
					     "content.[].input.", NULL};
static const char *const anthropic_pieces[] = {"delta.text", "delta.thinking", "delta.partial_json",
					       NULL};
static const char *const gemini_text[] = {"candidates.[].content.parts.[].text",
					  "candidates.[].content.parts.[].functionCall.args.",
					  NULL};

/* What may stand beside the usage in a chunk that is there for the usage alone. */
static const char *const chunk_frame[] = {
	"id",	       "object", "created", "model", "service_tier", "system_fingerprint",
	"obfuscation", NULL};

/* These are asked for each scalar of each answer: most differ in the first letter, which needs no call. */
static bool is_among(const char *path, const char *const *list)
{
	for (; *list; list++) {
		if (**list != *path)
			continue;
		size_t n = strlen(*list);
		if (strcmp(path, *list) == 0 ||
		    ((*list)[n - 1] == '.' && strncmp(path, *list, n) == 0))
			return true;
	}
	return false;
}

static const char *behind(const char *path, const char *const *prefixes)
{
	for (; *prefixes; prefixes++) {
		if (**prefixes != *path)
			continue;
		size_t n = strlen(*prefixes);
		if (strncmp(path, *prefixes, n) == 0)
			return path + n;
	}
	return NULL;
}

/* A count, as a number or as text; -1: none. */
static int64_t number(const char *text)
{
	int64_t v = 0;
	int digits = 0;

	if (*text < '0' || *text > '9') /* null */
		return -1;
	for (; *text >= '0' && *text <= '9' && digits < 15; text++, digits++)
		v = 10 * v + (*text - '0');
	return v;
}

static bool take_number(struct usage_meter *m, const char *path, const char *text)
{
	/* Fixed places: a tool's description, which a server may repeat, is the agent's. */
	static const char *const places[] = {"usage.",
					     "message.usage.",
					     "choices.[].usage.",
					     "choices.[].delta.usage.",
					     "choices.[].message.usage.",
					     "x_groq.usage.",
					     "delta.usage.",
					     NULL};
	static const char *const gemini_places[] = {"usageMetadata.", NULL};
	const char *name = behind(path, m->api == API_GEMINI ? gemini_places : places);
	const struct field *f = m->api == API_GEMINI	  ? gemini_fields
				: m->api == API_ANTHROPIC ? anthropic_fields
							  : openai_fields;

	if (!name)
		return false;
	while (f->path && (*f->path != *name || strcmp(f->path, name)))
		f++;
	int64_t v = number(text), had;
	if (!f->path || v < 0)
		return true;
	memcpy(&had, (char *)m + f->offset, sizeof had);
	if (v > had) /* zeros may come first, and again at the end */
		memcpy((char *)m + f->offset, &v, sizeof v);
	if (f->offset == (m->api == API_GEMINI ? AT(input) : AT(output)))
		m->is_final |= m->api != API_ANTHROPIC || strncmp(path, "message.", 8);
	m->event_usage = true;
	m->unreported = 0;
	return true;
}

static void printable(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; text[n] && n < size - 1; n++)
		out[n] = text[n] >= 32 && text[n] < 127 ? text[n] : '?';
	out[n] = '\0';
}

static void take_text(struct usage_meter *m, const char *path)
{
	static const char *const chat[] = {"choices.[].delta.", "choices.[].message.", NULL};
	const char *name = m->api == API_CHAT ? behind(path, chat) : path;
	const char *const *whole = m->api == API_CHAT	     ? chat_text
				   : m->api == API_RESPONSES ? responses_text
				   : m->api == API_ANTHROPIC ? anthropic_text
							     : gemini_text;
	const char *const *pieces = m->api == API_RESPONSES   ? responses_pieces
				    : m->api == API_ANTHROPIC ? anthropic_pieces
							      : whole;

	if (!name || !m->scan.string_bytes || !is_among(name, m->is_events ? pieces : whole))
		return;
	m->text_bytes += (int64_t)m->scan.string_bytes;
	m->pieces += m->is_events;
	m->unreported++;
}

/* Errors inside an answer whose status is good: of a stream that had begun, and of servers that have no other. */
static void take_failure(struct usage_meter *m, const char *path, const char *text)
{
	static const char *const words[] = {"error", "error.message", "choices.[].error.message",
					    NULL};
	static const char *const codes[] = {"error.code", "error.type", "error.status",
					    "choices.[].error.code", NULL};
	static const char *const ends[] = {"choices.[].finish_reason", "status", "type", NULL};

	if (is_among(path, words) || (m->failed && !*m->failure && strcmp(path, "message") == 0)) {
		m->failed = true;
		printable(m->failure, sizeof m->failure, text);
	} else if (is_among(path, codes) || (m->failed && strcmp(path, "code") == 0)) {
		m->failed = true;
		printable(m->failure_code, sizeof m->failure_code, text);
	} else if (is_among(path, ends)) {
		bool is_status = strcmp(path, "status") == 0;
		m->failed |= is_status ? m->api == API_RESPONSES && strcmp(text, "failed") == 0
				       : strcmp(text, "error") == 0;
	}
}

/* Whichever tier answered is what is paid for, not the one that was asked for. */
static void take_service(struct usage_meter *m, const char *path, const char *text)
{
	static const char *const places[] = {"service_tier",
					     "usage.service_tier",
					     "usage.speed",
					     "message.usage.service_tier",
					     "message.usage.speed",
					     "usageMetadata.serviceTier",
					     NULL};

	/* "speed": "standard" does not take back a tier. */
	if (is_among(path, places) && (!*m->service || strcmp(text, "standard")))
		printable(m->service, sizeof m->service, text);
}

static void on_scalar(void *ctx, const char *path, enum json_scan_kind kind, const char *text)
{
	static const char *const models[] = {"model", "message.model", "modelVersion", NULL};
	struct usage_meter *m = ctx;

	if (kind == JSON_SCAN_EMPTY) {
		m->choices_empty |= strcmp(path, "choices") == 0;
		return;
	}
	/* What wraps an event of Responses, and a Gemini answer that is a list. */
	static const char *const wraps[] = {"response.", "[].", NULL};
	const char *inside =
		m->api == API_RESPONSES || m->api == API_GEMINI ? behind(path, wraps) : NULL;
	path = inside ? inside : path;
	if (kind == JSON_SCAN_STRING)
		take_service(m, path, text);
	if (strcmp(path, "tool_usage.web_search.num_requests") == 0 && number(text) >= 0)
		m->searches = number(text);
	if (m->api == API_CHAT && strcmp(path, "usage.cost") == 0 && number(text) >= 0)
		m->cost_ticks = (int64_t)(strtod(text, NULL) * 1e10 + 0.5);
	if (take_number(m, path, text))
		return;
	if (kind == JSON_SCAN_STRING) {
		if (is_among(path, models) && *text)
			printable(m->model, sizeof m->model, text);
		take_text(m, path);
		take_failure(m, path, text);
	} else if (strncmp(path, "error.code", 10) == 0 && number(text) >= 0) {
		take_failure(m, path, text);
	}
	m->event_other |= !is_among(path, chunk_frame) && strcmp(text, "null");
}

void usage_meter_init(struct usage_meter *m, enum api api, bool events)
{
	memset(m, 0, offsetof(struct usage_meter, scan));
	m->api = api;
	m->is_events = events;
	m->usd_ticks = m->cost_ticks = -1;
	sse_init(&m->sse);
	json_scan_init(&m->scan, on_scalar, m);
}

static void feed_data(void *ctx, const char *data, size_t n)
{
	struct usage_meter *m = ctx;

	json_scan_feed(&m->scan, data, n);
}

/* A head may have no type, or the wrong one. */
static void look_at_start(struct usage_meter *m, const char *data, size_t n)
{
	for (size_t i = 0; i < n && !m->is_known; i++) {
		if (strchr(" \t\r\n\xef\xbb\xbf", data[i]) && data[i])
			continue; /* a byte order mark, too */
		m->is_known = true;
		if (data[i] == '{' || data[i] == '[')
			m->is_events = false;
		else if (strchr(":deir", data[i])) /* a comment; data, event, id, retry */
			m->is_events = true;
	}
}

size_t usage_meter_feed(struct usage_meter *m, const char *data, size_t n, bool *end)
{
	*end = false;
	if (!m->is_known)
		look_at_start(m, data, n);
	if (!m->is_events) {
		json_scan_feed(&m->scan, data, n);
		return n;
	}
	size_t taken = sse_feed(&m->sse, data, n, end, feed_data, m);
	if (*end) {
		json_scan_end(&m->scan);
		json_scan_reset(&m->scan);
		m->usage_only = m->choices_empty && m->event_usage && !m->event_other;
		m->choices_empty = m->event_usage = m->event_other = false;
	}
	return taken;
}

/* In one count of its own kind, whatever the dialect adds up. */
static void sum_up(const struct usage_meter *m, struct token_usage *out)
{
	*out = (struct token_usage){.input = m->input,
				    .cached = m->cached,
				    .cache_write = m->cache_write,
				    .output = m->output,
				    .reasoning = m->reasoning,
				    .cache_write_1h = m->cache_write_1h,
				    .searches = m->searches};
	if (m->api == API_ANTHROPIC) {
		out->input += m->cached + m->cache_write;
	} else if (m->api == API_GEMINI) {
		out->input += m->tool_input;
		out->output += m->reasoning;
	} else if (m->total > m->input + m->output) {
		/* Servers that leave reasoning out of the completion count it in the total. */
		out->output = m->total - m->input;
		if (out->reasoning < out->output - m->output)
			out->reasoning = out->output - m->output;
	}
}

bool usage_meter_end(struct usage_meter *m, int64_t input, bool whole, struct token_usage *out)
{
	int64_t seen = m->text_bytes / 4 > m->pieces ? m->text_bytes / 4 : m->pieces;

	json_scan_end(&m->scan);
	sum_up(m, out);
	if (m->is_final && (out->input || out->output) &&
	    (whole || (!m->unreported && m->api != API_GEMINI)))
		return false;
	if (!out->input)
		out->input = input;
	if (out->output < seen)
		out->output = seen;
	return true;
}

double usage_usd(const struct price *price, const struct token_usage *u, const char *service)
{
	const bool is_long = price->above_tokens && u->input > price->above_tokens;
	const struct price_rates *r = is_long ? &price->above : &price->usual;
	int64_t plain = u->input - u->cached - u->cache_write;
	double factor = 1;

	if (!price->known)
		return -1;
	for (size_t i = 0; i < price->services_n; i++)
		if (strcmp(price->services[i].name, service) == 0)
			factor = price->services[i].factor;
	double tokens = (double)(plain > 0 ? plain : 0) * r->input + (double)u->cached * r->cached +
			(double)(u->cache_write - u->cache_write_1h) * r->cache_write +
			(double)u->cache_write_1h * r->cache_write_1h +
			(double)u->output * r->output;
	return tokens * factor / 1e6 + (double)u->searches * price->search;
}
