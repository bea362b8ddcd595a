/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/usage.h"
#include <string.h>

struct field {
	const char *path;
	size_t offset; /* of an int64_t in struct usage_meter */
	bool is_final; /* once it was seen the numbers are whole */
};

#define AT(member) offsetof(struct usage_meter, member)
/* Of a stream, "response." (Responses) and "message." (Anthropic) are taken off first. */
static const struct field responses_fields[] = {
	{"usage.input_tokens", AT(input), false},
	{"usage.input_tokens_details.cached_tokens", AT(cached), false},
	{"usage.input_tokens_details.cache_write_tokens", AT(cache_write), false},
	{"usage.output_tokens", AT(output), true},
	{"usage.output_tokens_details.reasoning_tokens", AT(reasoning), false},
	{NULL, 0, false},
};
static const struct field chat_fields[] = {
	{"usage.prompt_tokens", AT(input), false},
	{"usage.prompt_tokens_details.cached_tokens", AT(cached), false},
	{"usage.prompt_tokens_details.cache_write_tokens", AT(cache_write), false},
	{"usage.completion_tokens", AT(output), true},
	{"usage.completion_tokens_details.reasoning_tokens", AT(reasoning), false},
	{NULL, 0, false},
};
/* message_start has the input and a first output count; message_delta counts the output so far. */
static const struct field anthropic_fields[] = {
	{"usage.input_tokens", AT(input), false},
	{"usage.cache_read_input_tokens", AT(cached), false},
	{"usage.cache_creation_input_tokens", AT(cache_write), false},
	{"usage.output_tokens", AT(output), true},
	{"usage.output_tokens_details.thinking_tokens", AT(reasoning), false},
	{NULL, 0, false},
};
static const struct field anthropic_start_fields[] = {
	{"message.usage.input_tokens", AT(input), false},
	{"message.usage.cache_read_input_tokens", AT(cached), false},
	{"message.usage.cache_creation_input_tokens", AT(cache_write), false},
	{"message.usage.output_tokens", AT(output), false},
	{NULL, 0, false},
};
static const struct field gemini_fields[] = {
	{"usageMetadata.promptTokenCount", AT(input), true},
	{"usageMetadata.toolUsePromptTokenCount", AT(tool_input), false},
	{"usageMetadata.cachedContentTokenCount", AT(cached), false},
	{"usageMetadata.candidatesTokenCount", AT(output), false},
	{"usageMetadata.thoughtsTokenCount", AT(reasoning), false},
	{NULL, 0, false},
};

static int64_t number(const char *text)
{
	int64_t v = 0;
	int digits = 0;

	for (; *text >= '0' && *text <= '9' && digits < 15; text++, digits++)
		v = 10 * v + (*text - '0');
	return v; /* what is no count is 0 */
}

static bool take(struct usage_meter *m, const struct field *f, const char *path, const char *text)
{
	for (; f->path; f++) {
		if (strcmp(f->path, path))
			continue;
		if (*text < '0' || *text > '9') /* null */
			return true;
		int64_t v = number(text);
		memcpy((char *)m + f->offset, &v, sizeof v);
		m->reported |= f->is_final;
		return true;
	}
	return false;
}

static void take_model(struct usage_meter *m, const char *text)
{
	size_t n = 0;

	for (; text[n] && n < sizeof m->model - 1; n++)
		m->model[n] = text[n] >= 32 && text[n] < 127 ? text[n] : '?';
	m->model[n] = '\0';
}

static const char *without(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) == 0 ? path + n : path;
}

static void on_scalar(void *ctx, const char *path, enum json_scan_kind kind, const char *text)
{
	struct usage_meter *m = ctx;

	if (kind == JSON_SCAN_EMPTY) {
		m->choices_empty |= strcmp(path, "choices") == 0;
		return;
	}
	if (m->api == API_GEMINI)
		path = without(path, "[].");
	else if (m->api == API_RESPONSES)
		path = without(path, "response.");
	if (kind == JSON_SCAN_STRING) {
		const char *name = m->api == API_GEMINI ? "modelVersion" : "model";
		if (strcmp(path, name) == 0 ||
		    (m->api == API_ANTHROPIC && strcmp(path, "message.model") == 0))
			take_model(m, text);
		return;
	}
	bool taken = false;
	switch (m->api) {
	case API_RESPONSES:
		taken = take(m, responses_fields, path, text);
		break;
	case API_CHAT:
		taken = take(m, chat_fields, path, text);
		break;
	case API_ANTHROPIC:
		taken = take(m, anthropic_fields, path, text) ||
			take(m, anthropic_start_fields, path, text);
		break;
	case API_GEMINI:
		taken = take(m, gemini_fields, path, text);
		break;
	}
	m->event_usage |= taken;
}

void usage_meter_init(struct usage_meter *m, enum api api, bool events)
{
	memset(m, 0, offsetof(struct usage_meter, scan));
	m->api = api;
	m->is_events = events;
	sse_init(&m->sse);
	json_scan_init(&m->scan, on_scalar, m);
}

static void feed_data(void *ctx, const char *data, size_t n)
{
	struct usage_meter *m = ctx;

	json_scan_feed(&m->scan, data, n);
}

size_t usage_meter_feed(struct usage_meter *m, const char *data, size_t n, bool *end)
{
	*end = false;
	if (!m->is_events) {
		json_scan_feed(&m->scan, data, n);
		return n;
	}
	size_t taken = sse_feed(&m->sse, data, n, end, feed_data, m);
	if (*end) {
		json_scan_end(&m->scan);
		json_scan_reset(&m->scan);
		m->usage_only = m->choices_empty && m->event_usage;
		m->choices_empty = m->event_usage = false;
	}
	return taken;
}

bool usage_meter_end(struct usage_meter *m, int64_t request_bytes, int64_t response_bytes,
		     bool whole, struct token_usage *out)
{
	json_scan_end(&m->scan);
	*out = (struct token_usage){m->input, m->cached, m->cache_write, m->output, m->reasoning};
	if (m->api == API_ANTHROPIC)
		out->input += m->cached + m->cache_write;
	if (m->api == API_GEMINI) {
		out->input += m->tool_input;
		out->output += m->reasoning;
	}
	if (m->reported && (whole || m->api != API_GEMINI))
		return false;
	if (!out->input)
		out->input = request_bytes / 4;
	if (out->output < response_bytes / 4)
		out->output = response_bytes / 4;
	return true;
}

double usage_usd(const struct token_price *price, const struct token_usage *u)
{
	int64_t plain = u->input - u->cached - u->cache_write;

	if (!price->known)
		return -1;
	return ((double)(plain > 0 ? plain : 0) * price->input + (double)u->cached * price->cached +
		(double)u->cache_write * price->cache_write + (double)u->output * price->output) /
	       1e6;
}
