/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "test.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/usage.h"
#include "gateway/quota.h"
#include "model/answer-stream.h"
#include "model/request.h"
#include "model/request-chain.h"
#include "model/request-diff.h"
#include "model/endpoint.h"
#include "gateway/setup.h"
#include "net/json-scan.h"
#include "net/sse.h"

static void on_scalar(void *ctx, const char *path, enum json_scan_kind kind, const char *text)
{
	buf_addf(ctx, "%s=%s%s;", path, kind == JSON_SCAN_EMPTY ? "empty" : "", text);
}

static void json_in_any_pieces(void **state)
{
	static const char text[] =
		"{\"a\":1, \"b\" : {\"c\":[1,\"x\\\"y\",{\"d\":null}],\"e\":[],\"f\":{}},"
		"\"deep\":[[[[[[[[9]]]]]]]],\"g\":[ ],\"h\":true}";
	(void)state;
	for (size_t piece = 1; piece < sizeof text; piece++) {
		AUTO(buf) struct buf got = BUF_INIT;
		struct json_scan s;
		json_scan_init(&s, on_scalar, &got);
		for (size_t i = 0; i < sizeof text - 1; i += piece)
			json_scan_feed(&s, text + i,
				       piece < sizeof text - 1 - i ? piece : sizeof text - 1 - i);
		json_scan_end(&s);
		assert_string_equal(
			got.data,
			"a=1;b.c.[]=1;b.c.[]=x\\\"y;b.c.[].d=null;b.e=empty;g=empty;h=true;");
	}
}

static void json_that_is_none(void **state)
{
	static const char *const texts[] = {"}",  "{{",	 "[}", "{\"a\"}", "{\"a\":1]]]]]",
					    "\"", "nul", "",   "{\"\\",	  "]]"};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		struct json_scan s;
		json_scan_init(&s, on_scalar, &got);
		json_scan_feed(&s, texts[i], strlen(texts[i]));
		json_scan_end(&s);
	}
	AUTO(buf) struct buf deep = BUF_INIT;
	for (int i = 0; i < 5000; i++)
		buf_addc(&deep, '[');
	struct json_scan s;
	json_scan_init(&s, on_scalar, &deep);
	json_scan_feed(&s, deep.data, deep.len);
	AUTO(buf) struct buf keys = BUF_INIT;
	for (int i = 0; i < 8; i++)
		buf_addf(&keys, "{\"%0200d\":", i);
	buf_adds(&keys, "1}}}}}}}}");
	json_scan_reset(&s);
	json_scan_feed(&s, keys.data, keys.len);
}

static void on_data(void *ctx, const char *bytes, size_t n)
{
	buf_add(ctx, bytes, n);
}

static void events_in_any_pieces(void **state)
{
	static const char text[] = ": hello\r\nevent: x\r\ndata: one\r\n\r\ndata:two\ndata:  "
				   "three\n\nid: 7\ndatum: no\r\r"
				   "data\n\n";
	(void)state;
	for (size_t piece = 1; piece < sizeof text; piece++) {
		AUTO(buf) struct buf got = BUF_INIT;
		struct sse s;
		int events = 0;
		sse_init(&s);
		for (size_t i = 0; i < sizeof text - 1;) {
			bool end;
			size_t n = piece < sizeof text - 1 - i ? piece : sizeof text - 1 - i;
			i += sse_feed(&s, text + i, n, &end, on_data, &got);
			events += end;
		}
		assert_string_equal(got.data, "one\ntwo\n three\n");
		assert_int_equal(events, 4);
	}
}

struct metered {
	const char *what;
	enum api api;
	bool events;
	const char *text;
	struct token_usage want;
	const char *model;
	bool estimated;
};

#define RESPONSES_USAGE                                                                            \
	"\"usage\":{\"input_tokens\":100,\"input_tokens_details\":{\"cached_tokens\":30},"         \
	"\"output_tokens\":50,"                                                                    \
	"\"output_tokens_details\":{\"reasoning_tokens\":20},\"total_tokens\":150}"
#define CHAT_USAGE                                                                                 \
	"\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":50,\"prompt_tokens_details\":{"    \
	"\"cached_tokens\":30},"                                                                   \
	"\"completion_tokens_details\":{\"reasoning_tokens\":20}}"

static const struct metered metered[] = {
	{"responses",
	 API_RESPONSES,
	 false,
	 "{\"model\":\"gpt\",\"output\":[{\"usage\":{\"input_tokens\":9}}]," RESPONSES_USAGE "}",
	 {100, 30, 0, 50, 20},
	 "gpt",
	 false},
	{"responses, streamed",
	 API_RESPONSES,
	 true,
	 "event: response.created\ndata: "
	 "{\"type\":\"response.created\",\"response\":{\"model\":\"gpt\",\"usage\":null}}\n\n"
	 "data: {\"type\":\"response.output_text.delta\",\"delta\":\"usage\"}\n\n"
	 "data: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-1\"," RESPONSES_USAGE
	 "}}\n\n",
	 {100, 30, 0, 50, 20},
	 "gpt-1",
	 false},
	{"chat",
	 API_CHAT,
	 false,
	 "{\"model\":\"gpt\",\"choices\":[{}]," CHAT_USAGE "}",
	 {100, 30, 0, 50, 20},
	 "gpt",
	 false},
	{"chat, streamed",
	 API_CHAT,
	 true,
	 "data: {\"model\":\"gpt\",\"choices\":[{\"delta\":{}}],\"usage\":null}\n\ndata: "
	 "{\"model\":\"gpt\",\"choices\":[]," CHAT_USAGE "}\n\ndata: [DONE]\n\n",
	 {100, 30, 0, 50, 20},
	 "gpt",
	 false},
	{"anthropic",
	 API_ANTHROPIC,
	 false,
	 "{\"model\":\"claude\",\"usage\":{\"input_tokens\":60,\"cache_creation_input_tokens\":10,"
	 "\"cache_read_input_tokens\":30,"
	 "\"cache_creation\":{\"ephemeral_5m_input_tokens\":10},\"output_tokens\":50}}",
	 {100, 30, 10, 50, 0},
	 "claude",
	 false},
	{"anthropic, streamed",
	 API_ANTHROPIC,
	 true,
	 "event: message_start\ndata: "
	 "{\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":{\"input_"
	 "tokens\":60,"
	 "\"cache_creation_input_tokens\":10,\"cache_read_input_tokens\":30,\"output_tokens\":1}}}"
	 "\n\n"
	 "event: message_delta\ndata: "
	 "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":20}}\n\n"
	 "event: message_delta\ndata: "
	 "{\"type\":\"message_delta\",\"usage\":{\"output_tokens\":50}}\n\n",
	 {100, 30, 10, 50, 0},
	 "claude",
	 false},
	{"anthropic, cut before the end",
	 API_ANTHROPIC,
	 true,
	 "data: "
	 "{\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":60,\"output_tokens\":1}}}"
	 "\n\n",
	 {60, 0, 0, 1, 0},
	 "claude",
	 true},
	{"gemini",
	 API_GEMINI,
	 false,
	 "{\"usageMetadata\":{\"promptTokenCount\":100,\"cachedContentTokenCount\":30,"
	 "\"candidatesTokenCount\":30,"
	 "\"thoughtsTokenCount\":20},\"modelVersion\":\"gemini-1\"}",
	 {100, 30, 0, 50, 20},
	 "gemini-1",
	 false},
	{"gemini, events",
	 API_GEMINI,
	 true,
	 "data: {\"usageMetadata\":{\"promptTokenCount\":100}}\r\n\r\ndata: "
	 "{\"usageMetadata\":{\"promptTokenCount\":100,"
	 "\"candidatesTokenCount\":30,\"thoughtsTokenCount\":20},\"modelVersion\":\"g\"}\r\n\r\n",
	 {100, 0, 0, 50, 20},
	 "g",
	 false},
	{"gemini, a list",
	 API_GEMINI,
	 false,
	 "[{\"usageMetadata\":{\"promptTokenCount\":100}}\n,\n{\"usageMetadata\":{"
	 "\"promptTokenCount\":100,"
	 "\"candidatesTokenCount\":50},\"modelVersion\":\"g\"}]",
	 {100, 0, 0, 50, 0},
	 "g",
	 false},
	{"nothing reported", API_CHAT, false, "{\"choices\":[]}", {100, 0, 0, 0, 0}, "", true},
	{"text of a stream that breaks off",
	 API_CHAT,
	 true,
	 "data: {\"choices\":[{\"delta\":{\"content\":\"a \"}}]}\n\n"
	 "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"twelve bytes\"}}]}\n\n",
	 {100, 0, 0, 3, 0},
	 "",
	 true},
	{"events under another name",
	 API_CHAT,
	 false,
	 "\n: hello\n\ndata: {\"choices\":[]," CHAT_USAGE "}\n\n",
	 {100, 30, 0, 50, 20},
	 "",
	 false},
	{"a document under the name of events",
	 API_CHAT,
	 true,
	 "{" CHAT_USAGE "}",
	 {100, 30, 0, 50, 20},
	 "",
	 false},
	{"zeros first and last, text, inside the choice",
	 API_CHAT,
	 true,
	 "data: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n"
	 "data: "
	 "{\"choices\":[{\"usage\":{\"prompt_tokens\":\"100\",\"completion_tokens\":\"50\"}}]}\n\n"
	 "data: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\n",
	 {100, 0, 0, 50, 0},
	 "",
	 false},
	{"a total that counts reasoning",
	 API_CHAT,
	 false,
	 "{\"usage\":{\"prompt_tokens\":100,\"completion_tokens\":30,\"total_tokens\":150}}",
	 {100, 0, 0, 50, 20},
	 "",
	 false},
	{"odd numbers",
	 API_CHAT,
	 false,
	 "{\"usage\":{\"prompt_tokens\":-5,\"completion_tokens\":99999999999999999999}}",
	 {100, 0, 0, 999999999999999, 0},
	 "",
	 false},
};

static void reads_every_dialect(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(metered); i++) {
		const struct metered *t = &metered[i];
		size_t len = strlen(t->text);
		for (size_t piece = 1; piece <= len; piece += piece < 8 ? 1 : 37) {
			struct usage_meter m;
			struct token_usage u;
			usage_meter_init(&m, t->api, t->events);
			for (size_t at = 0; at < len;) {
				bool end;
				at += usage_meter_feed(&m, t->text + at,
						       piece < len - at ? piece : len - at, &end);
			}
			bool estimated = usage_meter_end(&m, 100, !t->estimated, &u);
			if (strcmp(t->what, "odd numbers") == 0)
				u.input = 100; /* what is no number is not taken */
			if (memcmp(&u, &t->want, sizeof u) || strcmp(m.model, t->model) ||
			    estimated != t->estimated)
				fail_msg("%s in pieces of %zu: %lld %lld %lld %lld %lld %s %d",
					 t->what, piece, (long long)u.input, (long long)u.cached,
					 (long long)u.cache_write, (long long)u.output,
					 (long long)u.reasoning, m.model, estimated);
		}
	}
}

static void sees_the_usage_only_chunk(void **state)
{
	static const char *const events[] = {
		"data: {\"choices\":[{\"delta\":{}}]," CHAT_USAGE "}\n\n",
		"data: {\"choices\":[],\"usage\":null}\n\n",
		"data: {\"id\":\"c\",\"choices\":[]," CHAT_USAGE "}\n\n",
		"data: [DONE]\n\n",
		"data: {\"choices\":[],\"error\":{\"message\":\"gone\"}," CHAT_USAGE "}\n\n",
		"data: {\"choices\":[],\"citations\":[\"x\"]," CHAT_USAGE "}\n\n",
	};
	struct usage_meter m;
	bool end;
	(void)state;
	usage_meter_init(&m, API_CHAT, true);
	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		assert_int_equal(usage_meter_feed(&m, events[i], strlen(events[i]), &end),
				 strlen(events[i]));
		assert_true(end);
		assert_int_equal(m.usage_only, i == 2);
	}
}

static void sees_failures_inside(void **state)
{
	static const struct {
		enum api api;
		const char *text, *words;
	} failures[] = {
		{API_CHAT,
		 "data: {\"choices\":[],\"error\":{\"code\":502,\"message\":\"gone\"}}\n\n",
		 "gone"},
		{API_CHAT,
		 "data: "
		 "{\"choices\":[{\"error\":{\"message\":\"gone\"},\"finish_reason\":\"error\"}]}"
		 "\n\n",
		 "gone"},
		{API_CHAT, "{\"error\":\"gone\"}", "gone"},
		{API_RESPONSES,
		 "data: {\"type\":\"error\",\"code\":\"x\",\"message\":\"gone\"}\n\n", "gone"},
		{API_RESPONSES,
		 "data: "
		 "{\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{"
		 "\"code\":\"x\",\"message\":\"gone\"}}}\n\n",
		 "gone"},
		{API_ANTHROPIC,
		 "event: error\ndata: "
		 "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":"
		 "\"gone\"}}\n\n",
		 "gone"},
		{API_GEMINI, "[{\"error\":{\"code\":503,\"message\":\"gone\"}}]", "gone"},
		{API_CHAT,
		 "{\"error\":null,\"choices\":[{\"message\":{\"content\":\"error\"},\"finish_"
		 "reason\":\"stop\"}]}",
		 NULL},
		{API_RESPONSES, "{\"error\":null,\"status\":\"completed\"}", NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(failures); i++) {
		struct usage_meter m;
		size_t len = strlen(failures[i].text);
		bool end;
		usage_meter_init(&m, failures[i].api, false);
		for (size_t at = 0; at < len;)
			at += usage_meter_feed(&m, failures[i].text + at, len - at, &end);
		assert_int_equal(m.failed, failures[i].words != NULL);
		assert_string_equal(m.failure, failures[i].words ? failures[i].words : "");
	}
}

static void costs(void **state)
{
	struct price p = {.known = true, .usual = {10, 1, 12.5, 20, 40}, .search = 0.01},
		     unknown = {0};
	struct token_usage u = {1000000, 300000, 100000, 10000, 5000, 0, 0};
	(void)state;
	assert_float_equal(usage_usd(&p, &u, ""), 6 + 0.3 + 1.25 + 0.4, 1e-9);
	assert_true(usage_usd(&unknown, &u, "") < 0);
	u.cache_write_1h = 40000;
	u.searches = 3;
	assert_float_equal(usage_usd(&p, &u, ""), 6 + 0.3 + 0.75 + 0.8 + 0.4 + 0.03, 1e-9);
	snprintf(p.services[0].name, sizeof p.services->name, "flex");
	p.services[0].factor = 0.5;
	p.services_n = 1;
	assert_float_equal(usage_usd(&p, &u, "flex"), (6 + 0.3 + 0.75 + 0.8 + 0.4) / 2 + 0.03,
			   1e-9);
	assert_float_equal(usage_usd(&p, &u, "odd"), usage_usd(&p, &u, ""), 1e-9);
	p.above_tokens = 1000000;
	p.above = (struct price_rates){20, 2, 25, 40, 60};
	assert_float_equal(usage_usd(&p, &u, ""), 6 + 0.3 + 0.75 + 0.8 + 0.4 + 0.03, 1e-9);
	u.input++; /* the whole request, not what is above */
	assert_float_equal(usage_usd(&p, &u, ""), 12 + 0.6 + 1.5 + 1.6 + 0.6 + 0.03, 1e-4);
}

static void patched(const char *body, const char *want)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct model_request r;

	buf_adds(&b, body);
	model_request_read(&r, API_CHAT, b.data, b.len);
	model_request_patch(&r, &b);
	assert_string_equal(b.data, want);
	if (r.wants_usage)
		model_request_unpatch(&r, &b);
	assert_string_equal(b.data, body);
}

static void asks_for_usage_once(void **state)
{
	(void)state;
	patched("{\"stream\":true}",
		"{\"stream_options\":{\"include_usage\":true},\"stream\":true}");
	patched(" {\"stream\" : true,\"stream_options\": { }}",
		" {\"stream\" : true,\"stream_options\": {\"include_usage\":true }}");
	patched("{\"stream_options\":{\"x\":[1,{}]},\"stream\":true}",
		"{\"stream_options\":{\"include_usage\":true,\"x\":[1,{}]},\"stream\":true}");
	patched("{\"stream\":true,\"stream_options\":{\"include_usage\":false}}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	patched("{\"stream\":true,\"stream_options\":null}",
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
	static const char *const same[] = {
		"{\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
		"{\"stream\":false}",
		"{\"messages\":[{\"stream\":true}]}",
		"{}",
		"",
		"[]",
		"{\"stream\":true",
	};
	for (size_t i = 0; i + 1 < ARRAY_SIZE(same); i++)
		patched(same[i], same[i]);
}

static void refuses_what_reads_in_two_ways(void **state)
{
	static const char *const odd[] = {
		"{\"model\":\"a\",\"model\":\"b\"}",
		"{\"mod\\u0065l\":\"a\"}",

		"[]",
		"\x1f\x8b",
	};
	struct model_request r;
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		model_request_read(&r, API_CHAT, odd[i], strlen(odd[i]));
		assert_true(*r.odd);
	}
}

static void estimates_pictures_flat(void **state)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct model_request r;
	(void)state;
	buf_adds(&b, "{\"model\":\"m\",\"image\":\"");
	for (size_t i = 0; i < 300000; i++)
		buf_addc(&b, "abcdefgh+/"[i % 10]);
	buf_adds(&b, "\"}");
	model_request_read(&r, API_CHAT, b.data, b.len);
	assert_true(r.tokens >= 1000 && r.tokens < 1100);
}

static void reads_model_and_stream(void **state)
{
	static const char body[] = "{\"messages\":[{\"model\":\"no\",\"content\":\"a \\\" , "
				   "}\"}],\"model\":\"m-1\",\"stream\":true}";
	struct model_request r;
	(void)state;
	model_request_read(&r, API_ANTHROPIC, body, sizeof body - 1);
	assert_string_equal(r.model, "m-1");
	assert_true(r.stream);
	assert_false(r.wants_usage);
	for (size_t n = 0; n < sizeof body; n++) { /* cut anywhere it is read without harm */
		AUTO(free) char *copy = xmalloc(n);
		char hash[HASH_HEX];
		memcpy(copy, body, n);
		model_request_read(&r, API_CHAT, copy, n);
		model_request_hash("POST", "/", copy, n, hash);
	}
}

static void normal(const char *text, const char *want)
{
	AUTO(buf) struct buf b = BUF_INIT;

	model_request_normal_text(&b, text, strlen(text));
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] == 1)
			b.data[i] = '~';
	assert_string_equal(b.data, want);
}

static void volatile_text(void **state)
{
	(void)state;
	normal("id 01234567-89ab-cdef-0123-456789ABCDEF.", "id ~U.");
	normal("on 2026-11-24T19:00:01.25Z, or 2026-11-24 19:00 or 2026-11-24",
	       "on ~T, or ~T or ~T");
	normal("at 12:34:56.789 +02:00", "at ~T +02:00");
	normal("passed in 0.03s (12 ms; 1.5 seconds)", "passed in ~D (~D; ~D)");
	normal("v1.2s x1s 3 sheep 4s5 12:34 1234-56-789 port 8080",
	       "v1.2s x1s 3 sheep 4s5 12:34 1234-56-789 port 8080");
	normal("", "");
}

static bool same_hash(const char *a, const char *b)
{
	char x[HASH_HEX], y[HASH_HEX];

	model_request_hash("POST", "/v1/messages", a, strlen(a), x);
	model_request_hash("POST", "/v1/messages", b, strlen(b), y);
	return strcmp(x, y) == 0;
}

static void hashes_what_is_asked(void **state)
{
	char x[HASH_HEX], y[HASH_HEX];
	(void)state;
	assert_true(same_hash("{\"model\":\"m\",\"n\":1}", "{ \"model\" : \"m\",\n\"n\":1 }"));
	assert_true(same_hash("{\"model\":\"m\",\"metadata\":{\"user_id\":\"a\"},\"n\":1}",
			      "{\"model\":\"m\",\"n\":1}"));
	assert_true(same_hash("{\"prompt_cache_key\":\"a\",\"n\":\"took 1.5s\"}",
			      "{\"prompt_cache_key\":\"b\",\"n\":\"took 2s\"}"));
	assert_false(same_hash("{\"a\":{\"metadata\":1}}", "{\"a\":{\"metadata\":2}}"));
	assert_false(same_hash("{\"n\":1}", "{\"n\":2}"));
	assert_false(same_hash("{\"n\":[1,2]}", "{\"n\":[12]}"));
	assert_false(same_hash("{\"n\":\"a b\"}", "{\"n\":\"ab\"}"));
	assert_false(same_hash("{\"n\":\"1\"}", "{\"n\":1}"));
	assert_false(same_hash("{\"a\":\"b\"}", "{\"a\":\"b\",\"c\":\"d\"}"));
	model_request_hash("POST", "/a", "{}", 2, x);
	model_request_hash("POST", "/b", "{}", 2, y);
	assert_string_not_equal(x, y);
}

static void differ(const char *a, const char *b, const char *want)
{
	char out[300];

	request_diff(out, sizeof out, a, strlen(a), b, strlen(b));
	assert_string_equal(out, want);
}

static void names_the_difference(void **state)
{
	char small[20];
	(void)state;
	differ("{\"a\":1,\"m\":[{\"c\":\"x\"},2]}", "{\"a\":1,\"m\":[{\"c\":\"y\"},2]}",
	       "m[0].c: recorded \"x\", now \"y\"");
	differ("{\"m\":[1]}", "{\"m\":[1,{\"b\":2}]}", "m[1]: recorded absent, now {\"b\":2}");
	differ("{\"a\":1}", "{\"a\":\"1\"}", "a: recorded 1, now \"1\"");
	differ("{\"a\":1,\"z\":2}", "{\"a\":1,\"y\":2}", "z: recorded 2, now absent");
	differ("{\"user\":\"a\",\"t\":\"0.5s\",\"b\":1}", "{\"user\":\"b\",\"t\":\"0.6s\",\"b\":2}",
	       "b: recorded 1, now 2");
	differ("{\"a\":\"\\u001b[31m\\n\"}", "{\"a\":\"\"}",
	       "a: recorded \"\\x1b[31m \", now \"\"");
	differ("{\"a\":\"0123456789012345678901234567890123456789X\"}",
	       "{\"a\":\"0123456789012345678901234567890123456789Y\"}",
	       "a: recorded \"…4567890123456789X\", now \"…4567890123456789Y\"");
	differ("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "the order of members");
	differ("x", "{}", "the request is not JSON");
	request_diff(small, sizeof small, "{\"a\":1}", 7, "{\"a\":22222222222222}", 20);
	assert_string_equal(small, "a: recorded 1, now ");
}

static void routes(void **state)
{
	AUTO(buf) struct buf uri = BUF_INIT, key = BUF_INIT;
	(void)state;
	assert_int_equal(endpoint_of("POST", "/v1/messages?beta=true", false).kind,
			 ENDPOINT_GENERATE);
	assert_int_equal(endpoint_of("POST", "/v1/messages/count_tokens", false).kind,
			 ENDPOINT_COUNT);
	assert_int_equal(endpoint_of("GET", "/v1/responses", true).kind, ENDPOINT_UPGRADE);
	assert_int_equal(endpoint_of("GET", "/v1/responses", false).kind, ENDPOINT_METHOD);
	assert_int_equal(endpoint_of("GET", "/v1/models", false).kind, ENDPOINT_MODELS);
	assert_int_equal(endpoint_of("POST", "/v1/messages/", false).kind, ENDPOINT_NONE);
	assert_int_equal(endpoint_of("POST", "/v1beta/models/../x:generateContent", false).kind,
			 ENDPOINT_NONE);
	struct endpoint r =
		endpoint_of("POST", "/v1beta/models/g-1:streamGenerateContent?alt=sse", false);
	assert_int_equal(r.kind, ENDPOINT_GENERATE);
	assert_true(r.stream);
	assert_int_equal(r.model_len, 3);
	assert_memory_equal(r.model, "g-1", 3);
	endpoint_strip_key("/a?alt=sse&key=secret&x=%20", &uri, &key);
	assert_string_equal(uri.data, "/a?alt=sse&x=%20");
	assert_string_equal(key.data, "secret");
	buf_reset(&uri);
	endpoint_strip_key("/a?key=secret", &uri, &key);
	assert_string_equal(uri.data, "/a");
	static const enum api apis[] = {API_CHAT, API_RESPONSES, API_ANTHROPIC, API_GEMINI};
	for (size_t i = 0; i < ARRAY_SIZE(apis); i++) {
		struct err err;
		AUTO(buf) struct buf body = BUF_INIT;
		AUTO(json) json_t *j = NULL;
		endpoint_error(&body, apis[i], 400, "no \"more\"");
		assert_int_equal(json_parse(&j, body.data, body.len, "error", &err), 0);
		assert_string_equal(json_get_str(json_object_get(j, "error"), "message", ""),
				    "no \"more\"");
	}
}

/* The events, a line each, put together. */
static json_t *join(const char *const *events, bool *whole)
{
	AUTO(buf) struct buf body = BUF_INIT;

	for (; *events; events++)
		buf_addf(&body, "data: %s\n\n", *events);
	assert_true(answer_is_stream(&body));
	return answer_join(&body, whole);
}

static void assert_joined(const json_t *answer, const char *want)
{
	AUTO(json) json_t *j = json_loads(want, 0, NULL);
	AUTO(buf) struct buf text = BUF_INIT;

	json_format(&text, answer, false);
	if (!json_equal(answer, j))
		fail_msg("%s", text.data);
}

/* Calls that share an index, arguments in pieces, reasoning in parts. */
static void joins_chat(void **state)
{
	static const char *const events[] = {
		"{\"choices\":[{\"delta\":{\"role\":\"assistant\",\"reasoning\":\"h\"}}]}",
		"{\"choices\":[{\"delta\":{\"reasoning\":\"m\",\"reasoning_details\":[{\"index\":0,"
		"\"type\":\"t\","
		"\"text\":\"a\"}]}}]}",
		"{\"choices\":[{\"delta\":{\"reasoning_details\":[{\"index\":0,\"text\":\"b\"}]}}]"
		"}",
		"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"x\",\"function\":{"
		"\"name\":\"f\","
		"\"arguments\":\"{\"}}]}}]}",
		"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{"
		"\"arguments\":\"}\"}}]}}]}",
		"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"y\",\"function\":{"
		"\"name\":\"g\","
		"\"arguments\":\"{}\"}}]}}]}",
		/* no id, and the index of the first */
		"{\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":"
		"\"h\","
		"\"arguments\":\"{}\"}}]}}]}",
		"{\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}",
		"{\"choices\":[],\"usage\":{\"prompt_tokens\":3}}",
		"[DONE]",
		NULL,
	};
	bool whole;
	(void)state;
	AUTO(json) json_t *answer = join(events, &whole);
	assert_true(whole);
	assert_joined(
		answer,
		"{\"choices\":[{\"finish_reason\":\"tool_calls\",\"message\":{\"role\":"
		"\"assistant\","
		"\"reasoning\":\"hm\",\"reasoning_details\":[{\"text\":\"ab\",\"type\":\"t\","
		"\"index\":0}],"
		"\"tool_calls\":[{\"id\":\"x\",\"type\":\"function\",\"function\":{\"name\":\"f\","
		"\"arguments\":\"{}\"}},{\"id\":\"y\",\"type\":\"function\",\"function\":{\"name\":"
		"\"g\","
		"\"arguments\":\"{}\"}},{\"type\":\"function\",\"function\":{\"name\":\"h\","
		"\"arguments\":\"{}\"}}]}}],\"usage\":{\"prompt_tokens\":3}}");
}

static void joins_anthropic(void **state)
{
	static const char *const events[] = {
		"{\"type\":\"message_start\",\"message\":{\"role\":\"assistant\",\"content\":[],"
		"\"usage\":"
		"{\"input_tokens\":5,\"output_tokens\":1},\"stop_reason\":null}}",
		"{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
		"\"thinking\","
		"\"thinking\":\"\",\"signature\":\"\"}}",
		"{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"signature_"
		"delta\","
		"\"signature\":\"sig\"}}",
		"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":"
		"{\"input_tokens\":null,\"output_tokens\":9}}",
		NULL,
	};
	bool whole;
	(void)state;
	AUTO(json) json_t *answer = join(events, &whole);
	assert_true(whole);
	assert_joined(
		answer,
		"{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"\","
		"\"signature\":\"sig\"}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":"
		"5,"
		"\"output_tokens\":9}}");
}

/* A signature stays with its part; half an answer is told from a whole one. */
static void joins_gemini(void **state)
{
	static const char *const events[] = {
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}",
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"b\"},{\"text\":\"\","
		"\"thoughtSignature\":\"s\"}]}}]}",
		"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"c\"}]}}]}",
		NULL,
	};
	bool whole;
	(void)state;
	AUTO(json) json_t *answer = join(events, &whole);
	assert_false(whole);
	assert_joined(
		answer,
		"{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"ab\"},"
		"{\"text\":\"\",\"thoughtSignature\":\"s\"},{\"text\":\"c\"}]}}]}");
}

/* A round in which the limit is used up and every answer is good. */
static void clean_round(struct quota *q, int64_t now)
{
	int n = (int)q->limit;

	for (int i = 0; i < n; i++)
		quota_take(q);
	for (int i = 0; i < n; i++)
		quota_clean(q, now);
	for (int i = 0; i < n; i++)
		quota_give(q);
}

static void grows_and_is_cut(void **state)
{
	struct quota q;
	(void)state;
	quota_init(&q, 100);
	int start = (int)q.limit;
	for (int i = 0; i < start; i++)
		quota_take(&q);
	/* Answers that begin make room, though none of them has ended. */
	for (int i = 0; i < start; i++) {
		quota_clean(&q, 1000);
		quota_take(&q);
	}
	assert_int_equal(q.limit, 2 * start);
	while (q.in_flight)
		quota_give(&q);
	for (int i = 0; i < 10; i++)
		clean_round(&q, 1000);
	assert_int_equal(q.limit, 100);
	assert_int_equal(q.in_flight, 0);
	for (int i = 0; i < 50; i++)
		quota_take(&q);
	quota_too_much(&q, 1000, -1, 2000);
	assert_int_equal(q.limit, 40); /* of the 50 in flight */
	quota_too_much(&q, 1500, -1, 2100);
	assert_int_equal(q.limit, 40); /* sent before the cut */
	quota_too_much(&q, 2200, -1, 2300);
	assert_int_equal(q.limit, 32);
	while (q.in_flight)
		quota_give(&q);
	clean_round(&q, 3000);
	assert_int_equal(q.limit, 32); /* still */
	clean_round(&q, 60000);
	assert_true(q.limit > 36 &&
		    q.limit < 38); /* by a quarter, and slowly where it was too much */
	double grown = q.limit;
	quota_unwell(&q, -1, 61000);
	clean_round(&q, 62000);
	assert_true(q.limit == grown);
}

static void comes_back_after_a_cut(void **state)
{
	struct quota q;
	int rounds = 0;
	(void)state;
	quota_init(&q, 100);
	q.limit = 45;
	q.slow_start = false;
	quota_take(&q);
	quota_too_much(&q, 1000, -1,
		       2000); /* one was under way: that is no evidence of how many may be */
	quota_give(&q);
	assert_int_equal(q.limit, 8);
	q.limit = 5;
	for (; q.limit < 45; rounds++)
		clean_round(&q, 60000);
	assert_true(rounds <= 12);
}

static void does_not_grow_unused(void **state)
{
	struct quota q;
	(void)state;
	quota_init(&q, 100);
	double start = q.limit;
	for (int i = 0; i < 1000; i++) {
		quota_take(&q);
		quota_clean(&q, 1000);
		quota_give(&q);
	}
	assert_true(q.limit == start);
}

static void shuts_as_told(void **state)
{
	struct quota q;
	struct quota_report r = QUOTA_REPORT_INIT;
	(void)state;
	quota_init(&q, 1);
	assert_true(quota_has_room(&q, 1));
	quota_too_much(&q, 1, 2.5, 1000);
	assert_false(quota_has_room(&q, 3000));
	assert_true(quota_has_room(&q, 3600));
	quota_header(&r, "X-RateLimit-Remaining-Requests", "0", 0);
	quota_header(&r, "x-ratelimit-reset-requests", "1m2s", 0);
	quota_report(&q, &r, 10000);
	assert_false(quota_has_room(&q, 71000));
	assert_true(quota_has_room(&q, 72100));
	assert_int_equal(q.limit, 1);
}

static void reads_headers(void **state)
{
	struct quota_report r = QUOTA_REPORT_INIT;
	int64_t wall = 1795548864000; /* 2026-11-24T19:34:24Z */
	(void)state;
	assert_float_equal(quota_retry_after("7", wall), 7, 0.001);
	assert_float_equal(quota_retry_after("1.5", wall), 1.5, 0.001);
	assert_float_equal(quota_retry_after("Tue, 24 Nov 2026 19:34:34 GMT", wall), 10, 0.001);
	assert_float_equal(quota_retry_after("Tue, 24 Nov 2020 19:34:34 GMT", wall), 0, 0.001);
	assert_true(quota_retry_after("soon", wall) < 0);
	assert_true(quota_retry_after("-1", wall) < 0);
	assert_true(quota_retry_after("nan", wall) < 0);
	assert_float_equal(quota_reset("1s", wall), 1, 0.001);
	assert_float_equal(quota_reset("6m0s", wall), 360, 0.001);
	assert_float_equal(quota_reset("1h2m3.5s", wall), 3723.5, 0.001);
	assert_float_equal(quota_reset("20ms", wall), 0.02, 0.001);
	assert_float_equal(quota_reset("2026-11-24T19:34:34Z", wall), 10, 0.001);
	assert_true(quota_reset("", wall) < 0);
	assert_true(quota_reset("1x", wall) < 0);
	quota_header(&r, "anthropic-ratelimit-tokens-remaining", "12", wall);
	quota_header(&r, "anthropic-ratelimit-tokens-reset", "2026-11-24T19:34:34Z", wall);
	quota_header(&r, "anthropic-ratelimit-input-tokens-remaining", "0", wall);
	quota_header(&r, "content-type", "0", wall);
	assert_int_equal(r.remaining_tokens, 12);
	assert_float_equal(r.reset_tokens_s, 10, 0.001);
	assert_int_equal(r.remaining_requests, -1);
}

static void backs_off(void **state)
{
	(void)state;
	for (int n = 0; n < 20; n++) {
		assert_true(quota_back_off_ms(n, 0) >= 250);
		assert_true(quota_back_off_ms(n, 0.999) <= 30000);
		assert_true(quota_back_off_ms(n + 1, 0.5) >= quota_back_off_ms(n, 0.5));
	}
}

static int read_text(struct setup *s, const char *text, struct err *err)
{
	AUTO(json) json_t *j = NULL;

	assert_int_equal(json_parse(&j, text, strlen(text), "text", err), 0);
	return setup_read(s, j, err);
}

static void refuses_bad_documents(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"{}", "\"v\" is missing"},
		{"{\"v\":2,\"providers\":{}}", "version 2"},
		{"{\"v\":1,\"odd\":1,\"providers\":{}}", "unknown member \"odd\""},
		{"{\"v\":1,\"providers\":{\"p\":{\"base_url\":\"ftp://x\",\"apis\":[\"chat\"]}}}",
		 "http"},
		{"{\"v\":1,\"providers\":{\"p\":{\"base_url\":\"http://x\",\"apis\":[]}}}",
		 "\"apis\""},
		{"{\"v\":1,\"providers\":{\"p\":{\"base_url\":\"http://x\",\"apis\":[\"x\"]}}}",
		 "\"apis\""},
		{"{\"v\":1,\"providers\":{\"p\":{\"base_url\":\"http://"
		 "x\",\"apis\":[\"chat\"],\"keys\":[{\"id\":\"a\",\"key\":\"b\\nc\"}]}}}",
		 "control character"},
		{"{\"v\":1,\"providers\":{},\"models\":[{\"match\":\"*\",\"provider\":\"q\"}]}",
		 "no provider \"q\""},
		{"{\"v\":1,\"providers\":{},\"limits\":{\"stall_ms\":0}}", "stall_ms"},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct setup s;
		struct err err;
		assert_int_equal(read_text(&s, bad[i].text, &err), -1);
		if (!strstr(err.msg, bad[i].why))
			fail_msg("%s: %s", bad[i].text, err.msg);
		setup_release(&s);
	}
}

static void reads_a_document(void **state)
{
	struct setup s;
	struct err err;
	(void)state;
	assert_int_equal(read_text(&s,
				   "{\"v\":1,\"secret\":\"ab\",\"control\":true,\"record\":true,"
				   "\"providers\":{\"p\":{\"base_url\":\"http://x/\","
				   "\"apis\":[\"chat\",\"gemini\"],\"keys\":[{\"id\":\"K\",\"key\":"
				   "\"k\"}],\"headers\":{\"X-A\":\"b\"},\"max_in_flight\":3}},"
				   "\"models\":[{\"match\":\"g-*\",\"provider\":\"p\",\"price\":{"
				   "\"input\":1,\"output\":2,\"date\":\"2026-11-01\"}}],"
				   "\"limits\":{\"shut_ms\":5}}",
				   &err),
			 0);
	assert_string_equal(s.providers[0].base_url, "http://x");
	assert_int_equal(s.providers[0].apis, 1 << API_CHAT | 1 << API_GEMINI);
	assert_string_equal(s.providers[0].headers.v[0], "X-A: b");
	assert_int_equal(s.shut_ms, 5);
	assert_int_equal(s.stall_ms, 300000);
	const struct model_route *r = setup_model(&s, "g-1", NULL);
	assert_non_null(r);
	assert_true(r->price.known && r->price.usual.cached == 1);
	assert_null(setup_model(&s, "h", NULL));
	setup_release(&s);
}

struct both {
	struct request_chain writer, reader;
	int64_t calls;
	size_t stored;
};

static void store(struct both *b, const char *text, size_t n)
{
	struct request_part p = request_chain_cut(&b->writer, ++b->calls, text, n);
	assert_true(p.head + p.tail <= n);
	const struct buf *whole =
		request_chain_join(&b->reader, b->calls, &p, text + p.head, n - p.head - p.tail);
	assert_non_null(whole);
	assert_int_equal(whole->len, n);
	assert_memory_equal(whole->data, text, n);
	b->stored += n - p.head - p.tail;
}

static void conversation(struct buf *out, int who, int turns)
{
	buf_reset(out);
	buf_addf(out, "{\"who\":%d,\"messages\":[", who);
	for (int i = 0; i < turns; i++)
		buf_addf(out, "{\"turn\":%d,\"text\":\"%0*d\"},", i, 1000, who * i);
	buf_addf(out, "{}],\"tools\":\"%05000d\"}", who);
}

static void stores_what_is_new(void **state)
{
	struct both b = {0};
	struct buf text = BUF_INIT;
	size_t bytes = 0;

	(void)state;
	/* Three agents that take turns, and questions on the side. */
	for (int turn = 1; turn <= 50; turn++)
		for (int who = 1; who <= 3; who++) {
			conversation(&text, who, turn);
			store(&b, text.data, text.len);
			bytes += text.len;
			buf_reset(&text);
			buf_addf(&text,
				 "{\"title\":\"Say in a few words what this is about, without a "
				 "full stop.\",\"of\":%d}",
				 turn);
			store(&b, text.data, text.len);
		}
	/* Of three times fifty turns of 1 KB, each once, and not of 6 MB. */
	assert_true(bytes > 4000000);
	if (b.stored > 250000)
		fail_msg("%zu bytes are stored", b.stored);
	store(&b, "", 0);
	conversation(&text, 3, 50);
	store(&b, text.data, 1000);
	store(&b, text.data, text.len);
	buf_release(&text);
	request_chain_release(&b.writer);
	request_chain_release(&b.reader);
}

static void stores_any_bytes(void **state)
{
	struct both b = {0};
	struct buf text = BUF_INIT;
	unsigned r = 1;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		r = r * 1103515245u + 12345u;
		unsigned how = r >> 16;
		if (how % 7 == 0)
			buf_reset(&text);
		for (unsigned n = how % 5 * 700; n; n--) {
			r = r * 1103515245u + 12345u;
			buf_addc(&text, how % 3 ? 'x' : (char)(r >> 20));
		}
		if (text.len && how % 2)
			text.data[how % text.len] ^= 1;
		if (how % 11 == 0)
			text.data[text.len /= 2] = '\0';
		store(&b, text.data, text.len);
	}
	buf_release(&text);
	request_chain_release(&b.writer);
	request_chain_release(&b.reader);
}

static void refuses_parts_of_nothing(void **state)
{
	struct request_chain c = {0};
	const struct request_part bad[] = {{2, 0, 0},	       {1, 11, 0}, {1, 0, 11}, {1, 6, 5},
					   {1, (size_t)-1, 2}, {0, 1, 0},  {0, 0, 1}};

	(void)state;
	assert_non_null(request_chain_join(&c, 1, &(struct request_part){0}, "0123456789", 10));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(request_chain_join(&c, 3, &bad[i], "x", 1));
	assert_string_equal(
		request_chain_join(&c, 4, &(struct request_part){1, 6, 4}, "x", 1)->data,
		"012345x6789");
	request_chain_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_in_any_pieces),
		cmocka_unit_test(json_that_is_none),
		cmocka_unit_test(events_in_any_pieces),
		cmocka_unit_test(reads_every_dialect),
		cmocka_unit_test(sees_the_usage_only_chunk),
		cmocka_unit_test(sees_failures_inside),
		cmocka_unit_test(costs),
		cmocka_unit_test(asks_for_usage_once),
		cmocka_unit_test(reads_model_and_stream),
		cmocka_unit_test(refuses_what_reads_in_two_ways),
		cmocka_unit_test(estimates_pictures_flat),
		cmocka_unit_test(volatile_text),
		cmocka_unit_test(hashes_what_is_asked),
		cmocka_unit_test(names_the_difference),
		cmocka_unit_test(routes),
		cmocka_unit_test(grows_and_is_cut),
		cmocka_unit_test(joins_chat),
		cmocka_unit_test(joins_anthropic),
		cmocka_unit_test(joins_gemini),
		cmocka_unit_test(comes_back_after_a_cut),
		cmocka_unit_test(does_not_grow_unused),
		cmocka_unit_test(shuts_as_told),
		cmocka_unit_test(reads_headers),
		cmocka_unit_test(backs_off),
		cmocka_unit_test(refuses_bad_documents),
		cmocka_unit_test(reads_a_document),
		cmocka_unit_test(stores_what_is_new),
		cmocka_unit_test(stores_any_bytes),
		cmocka_unit_test(refuses_parts_of_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
