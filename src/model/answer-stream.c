/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/answer-stream.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "net/sse.h"

enum { ITEMS_MAX = 100000 };

struct joining {
	json_t *answer; /* of the first kind that was seen; NULL: none yet */
	bool whole;
	json_t *call; /* chat: that was added to last, and its index; borrowed */
	int64_t call_index;
	struct buf data; /* of the event that comes */
};

static json_t *member(json_t *j, const char *key, json_t *(*make)(void))
{
	json_t *v = json_object_get(j, key);

	if (!v)
		json_put(j, key, v = make());
	return v;
}

/* The element AT of a list, made with those before it. */
static json_t *element(json_t *list, int64_t at)
{
	if (at < 0 || at > ITEMS_MAX)
		return NULL;
	while ((int64_t)json_array_size(list) <= at)
		json_array_append_new(list, json_object());
	return json_array_get(list, (size_t)at);
}

static void append(json_t *j, const char *key, const char *more)
{
	const char *had = json_get_str(j, key, "");

	if (!more)
		return;
	char *all = xasprintf("%s%s", had, more);
	json_put_str(j, key, all);
	free(all);
}

/* What MORE says and J does not; a null says nothing. */
static void adopt(json_t *j, const json_t *more, const char *const *but)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)more, key, v) {
		const char *const *b = but;
		while (*b && strcmp(*b, key))
			b++;
		if (!*b && !json_is_null(v) && !json_object_get(j, key))
			json_object_set(j, key, v);
	}
}

/* What stands there now counts, where it says anything. */
static void replace(json_t *j, const char *key, const json_t *v)
{
	if (v && !json_is_null(v))
		json_put(j, key, json_deep_copy(v));
}

/* Numbers of an account, each of which grows or stays. */
static void update(json_t *to, const json_t *from)
{
	const char *key;
	json_t *v;

	json_object_foreach ((json_t *)from, key, v)
		replace(to, key, v);
}

/* V names a function though CALL, which has no id, has one, and all of its arguments. */
static bool begins_another(const json_t *call, const json_t *v)
{
	const json_t *had = json_object_get(call, "function");
	const char *arguments = json_get_str(had, "arguments", "");

	if (!*json_get_str(json_object_get(v, "function"), "name", "") ||
	    !json_object_get(had, "name"))
		return false;
	AUTO(json) json_t *whole = json_foreign(arguments, strlen(arguments));
	return json_is_object(whole);
}

/* The call that V is a piece of. Some servers give calls that are several one index, or none, or no id. */
static json_t *call_of(struct joining *to, json_t *message, const json_t *v, size_t i)
{
	json_t *calls = member(message, "tool_calls", json_array), *call;
	const char *id = json_get_str(v, "id", "");
	int64_t at = json_get_int(v, "index", (int64_t)i);
	const bool same = to->call && to->call_index == at;
	size_t k;

	to->call_index = at;
	json_array_foreach (calls, k, call)
		if (*id && strcmp(json_get_str(call, "id", ""), id) == 0)
			return to->call = call;
	call = !*id && same			      ? to->call
	       : at < (int64_t)json_array_size(calls) ? element(calls, at)
						      : NULL;
	if (call && (*id ? *json_get_str(call, "id", "") != '\0' : begins_another(call, v)))
		at = (int64_t)json_array_size(calls);
	else if (call)
		return to->call = call;
	return to->call = element(calls, at);
}

static void add_call(struct joining *to, json_t *message, const json_t *v, size_t i)
{
	static const char *const parts[] = {"index", "function", "id", NULL}, *const inner[] = {
										      "name",
										      "arguments",
										      NULL};
	json_t *call = call_of(to, message, v, i);
	const json_t *function = json_object_get(v, "function");

	if (!call)
		return;
	json_t *whole = member(call, "function", json_object);
	const char *id = json_get_str(v, "id", ""), *name = json_get_str(function, "name", "");
	if (*id)
		json_put_str(call, "id", id);
	if (*name && !json_object_get(whole, "name"))
		json_put_str(whole, "name", name);
	const json_t *arguments = json_object_get(function, "arguments");
	if (json_is_object(arguments))
		json_object_set(whole, "arguments", (json_t *)arguments);
	else
		append(whole, "arguments", json_string_value(arguments));
	adopt(call, v, parts);
	adopt(whole, function, inner);
	if (!json_object_get(call, "type"))
		json_put_str(call, "type", "function");
}

/* Reasoning in pieces, each of a numbered part. */
static void add_details(json_t *message, const json_t *details)
{
	static const char *const texts[] = {"text", "summary", "data", "signature"}, *const none[] =
											     {NULL};
	size_t i, k;
	json_t *v;

	json_array_foreach (details, i, v) {
		json_t *list = member(message, "reasoning_details", json_array);
		json_t *part =
			element(list, json_get_int(v, "index", (int64_t)json_array_size(list)));
		for (k = 0; part && k < ARRAY_SIZE(texts); k++)
			append(part, texts[k], json_get_str(v, texts[k], NULL));
		if (part)
			adopt(part, v, none);
	}
}

/* chat: the deltas of the first choice. */
static void add_chat(struct joining *to, const json_t *j)
{
	static const char *const texts[] = {"content", "refusal", "reasoning_content", "reasoning"};
	const json_t *from = json_array_get(json_object_get(j, "choices"), 0);
	const json_t *delta = json_object_get(from, "delta");
	json_t *choice = element(member(to->answer, "choices", json_array), 0);
	json_t *message = member(choice, "message", json_object);
	size_t i;
	json_t *v;

	if (!json_object_get(message, "role"))
		json_put_str(message, "role", "assistant");
	for (i = 0; i < ARRAY_SIZE(texts); i++)
		append(message, texts[i], json_get_str(delta, texts[i], NULL));
	add_details(message, json_object_get(delta, "reasoning_details"));
	json_array_foreach (json_object_get(delta, "tool_calls"), i, v)
		add_call(to, message, v, i);
	replace(choice, "finish_reason", json_object_get(from, "finish_reason"));
	replace(choice, "error", json_object_get(from, "error"));
	replace(to->answer, "usage", json_object_get(from, "usage"));
	to->whole |= json_string_length(json_object_get(choice, "finish_reason")) > 0;
}

/* anthropic: blocks, and what is added to them. */
static void add_anthropic(struct joining *to, const json_t *j, const char *type)
{
	json_t *blocks = member(to->answer, "content", json_array);
	const json_t *delta = json_object_get(j, "delta");
	json_t *block = element(blocks, json_get_int(j, "index", 0));

	if (!block)
		return;
	if (!strcmp(type, "content_block_start")) {
		json_object_update(block, json_object_get(j, "content_block"));
		return;
	}
	append(block, "text", json_get_str(delta, "text", NULL));
	append(block, "thinking", json_get_str(delta, "thinking", NULL));
	append(block, "signature", json_get_str(delta, "signature", NULL));
	append(block, "partial_json", json_get_str(delta, "partial_json", NULL));
}

static void add_anthropic_frame(struct joining *to, const json_t *j, const char *type)
{
	static const char *const blocks[] = {"content", "usage", "stop_reason", NULL};
	const json_t *start = json_object_get(j, "message"), *delta = json_object_get(j, "delta");

	if (start)
		adopt(to->answer, start, blocks);
	member(to->answer, "content", json_array);
	update(member(to->answer, "usage", json_object), json_object_get(start, "usage"));
	update(member(to->answer, "usage", json_object), json_object_get(j, "usage"));
	update(to->answer, delta);
	to->whole |= !strcmp(type, "message_stop") ||
		     json_string_length(json_object_get(delta, "stop_reason")) > 0;
}

/* The arguments of a call came as text. */
static void end_anthropic(json_t *answer)
{
	size_t i;
	json_t *block;

	json_array_foreach (json_object_get(answer, "content"), i, block) {
		const char *text = json_get_str(block, "partial_json", NULL);
		json_t *input = text ? json_foreign(text, strlen(text)) : NULL;
		if (input)
			json_put(block, "input", input);
		else if (text)
			json_put_str(block, "input", text);
		json_object_del(block, "partial_json");
	}
}

/* gemini: pieces of one turn. */
static void add_gemini(struct joining *to, const json_t *j)
{
	static const char *const others[] = {"content", "finishReason", NULL};
	const json_t *given = json_array_get(json_object_get(j, "candidates"), 0);
	const json_t *from = json_object_get(given, "content");
	json_t *candidate = element(member(to->answer, "candidates", json_array), 0);
	json_t *content = member(candidate, "content", json_object);
	json_t *parts = member(content, "parts", json_array);
	size_t i;
	json_t *part;

	json_put_str(content, "role", "model");
	json_array_foreach (json_object_get(from, "parts"), i, part) {
		json_t *last = json_array_get(parts, json_array_size(parts) - 1);
		const char *text = json_get_str(part, "text", NULL);
		/* A signature belongs to its part as it came. */
		if (text && last && json_object_get(last, "text") &&
		    !json_object_get(part, "thoughtSignature") &&
		    !json_object_get(last, "thoughtSignature") &&
		    json_get_bool(last, "thought", false) == json_get_bool(part, "thought", false))
			append(last, "text", text);
		else
			json_array_append_new(parts, json_deep_copy(part));
	}
	adopt(candidate, given, others);
	replace(candidate, "finishReason", json_object_get(given, "finishReason"));
	to->whole |= json_string_length(json_object_get(candidate, "finishReason")) > 0;
}

static void add_gemini_frame(struct joining *to, const json_t *j)
{
	replace(to->answer, "usageMetadata", json_object_get(j, "usageMetadata"));
	replace(to->answer, "promptFeedback", json_object_get(j, "promptFeedback"));
	replace(to->answer, "modelVersion", json_object_get(j, "modelVersion"));
	to->whole |= json_object_get(json_object_get(j, "promptFeedback"), "blockReason") != NULL;
}

/* responses: whole items as they are done, then the whole answer. */
static void add_responses(struct joining *to, const json_t *j, const char *type)
{
	const json_t *response = json_object_get(j, "response"), *item = json_object_get(j, "item");

	if (!strcmp(type, "response.output_item.done") && item)
		json_array_append_new(member(to->answer, "output", json_array),
				      json_deep_copy(item));
	const bool failed = !strcmp(type, "response.failed");
	if (!failed && strcmp(type, "response.completed") && strcmp(type, "response.incomplete"))
		return;
	to->whole = true;
	/* Some servers leave the items out that came before. */
	if (json_array_size(json_object_get(response, "output")))
		json_put(to->answer, "output", json_deep_copy(json_object_get(response, "output")));
	member(to->answer, "output", json_array);
	replace(to->answer, "status", json_object_get(response, "status"));
	replace(to->answer, "usage", json_object_get(response, "usage"));
	replace(to->answer, "incomplete_details", json_object_get(response, "incomplete_details"));
	if (failed)
		json_put(to->answer, "error", json_deep_copy(json_object_get(response, "error")));
}

static void take_event(struct joining *to)
{
	json_t *j = json_foreign(to->data.data ? to->data.data : "", to->data.len);
	const char *type = json_get_str(j, "type", "");
	const json_t *error = json_object_get(j, "error");

	buf_reset(&to->data);
	if (!json_is_object(j)) {
		json_decref(j);
		return;
	}
	if (!to->answer)
		to->answer = json_object();
	if (json_object_get(j, "candidates"))
		add_gemini(to, j);
	else if (json_array_size(json_object_get(j, "choices")))
		add_chat(to, j);
	else if (!strncmp(type, "content_block_", strlen("content_block_")))
		add_anthropic(to, j, type);
	else if (!strncmp(type, "response.", strlen("response.")))
		add_responses(to, j, type);
	else if (!strncmp(type, "message_", strlen("message_")))
		add_anthropic_frame(to, j, type);
	/* The bare one of Responses is its own error. */
	if (!strcmp(type, "error") && !error)
		error = j;
	if (error && !json_is_null(error)) {
		json_put(to->answer, "error", json_deep_copy(error));
		to->whole = true;
	}
	if (json_object_get(j, "usageMetadata") || json_object_get(j, "promptFeedback"))
		add_gemini_frame(to, j);
	else if (json_is_object(json_object_get(j, "usage")) && !*type)
		replace(to->answer, "usage", json_object_get(j, "usage"));
	json_decref(j);
}

static void add_data(void *arg, const char *bytes, size_t n)
{
	struct joining *to = arg;

	buf_add(&to->data, bytes, n);
}

bool answer_is_stream(const struct buf *text)
{
	static const char *const starts[] = {"data:", "event:", ":", "id:", "retry:"};
	static const char mark[] = "\xef\xbb\xbf";
	const char *p = text->data ? text->data : "";

	p += strncmp(p, mark, sizeof mark - 1) == 0 ? sizeof mark - 1 : 0;
	p += strspn(p, "\r\n");
	for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
		if (strncmp(p, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

json_t *answer_join(const struct buf *body, bool *whole)
{
	struct joining to = {.data = BUF_INIT};
	struct sse sse;
	bool end;

	sse_init(&sse);
	for (size_t at = 0; at < body->len;) {
		at += sse_feed(&sse, body->data + at, body->len - at, &end, add_data, &to);
		if (end)
			take_event(&to);
	}
	if (to.data.len)
		take_event(&to);
	buf_release(&to.data);
	if (to.answer)
		end_anthropic(to.answer);
	if (whole)
		*whole = to.whole;
	return to.answer;
}
