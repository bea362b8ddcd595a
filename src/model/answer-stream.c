/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/answer-stream.h"
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "net/sse.h"

enum { ITEMS_MAX = 100000 };

struct joining {
	json_t *answer;	 /* of the first kind that was seen; NULL: none yet */
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

/* chat: the deltas of the first choice. */
static void add_chat(struct joining *to, const json_t *j)
{
	const json_t *delta =
		json_object_get(json_array_get(json_object_get(j, "choices"), 0), "delta");
	json_t *choice = element(member(to->answer, "choices", json_array), 0);
	json_t *message = member(choice, "message", json_object);
	size_t i;
	json_t *v;

	if (!json_object_get(message, "role"))
		json_put_str(message, "role", "assistant");
	append(message, "content", json_get_str(delta, "content", NULL));
	append(message, "refusal", json_get_str(delta, "refusal", NULL));
	append(message, "reasoning_content",
	       json_get_str(delta, "reasoning_content", json_get_str(delta, "reasoning", NULL)));
	json_array_foreach (json_object_get(delta, "tool_calls"), i, v) {
		json_t *call = element(member(message, "tool_calls", json_array),
				       json_get_int(v, "index", (int64_t)i));
		const json_t *function = json_object_get(v, "function");
		if (!call)
			continue;
		json_t *whole = member(call, "function", json_object);
		const char *id = json_get_str(v, "id", ""),
			   *name = json_get_str(function, "name", "");
		if (*id)
			json_put_str(call, "id", id);
		if (*name && !json_object_get(whole, "name"))
			json_put_str(whole, "name", name);
		append(whole, "arguments", json_get_str(function, "arguments", NULL));
	}
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
	append(block, "partial_json", json_get_str(delta, "partial_json", NULL));
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
	const json_t *from =
		json_object_get(json_array_get(json_object_get(j, "candidates"), 0), "content");
	json_t *content = member(element(member(to->answer, "candidates", json_array), 0),
				 "content", json_object);
	json_t *parts = member(content, "parts", json_array);
	size_t i;
	json_t *part;

	json_put_str(content, "role", "model");
	json_array_foreach (json_object_get(from, "parts"), i, part) {
		json_t *last = json_array_get(parts, json_array_size(parts) - 1);
		const char *text = json_get_str(part, "text", NULL);
		if (text && last && json_object_get(last, "text") &&
		    json_get_bool(last, "thought", false) == json_get_bool(part, "thought", false))
			append(last, "text", text);
		else
			json_array_append_new(parts, json_deep_copy(part));
	}
}

/* responses: whole items as they are done, then the whole answer. */
static void add_responses(struct joining *to, const json_t *j, const char *type)
{
	const json_t *response = json_object_get(j, "response"), *item = json_object_get(j, "item");

	if (!strcmp(type, "response.output_item.done") && item)
		json_array_append_new(member(to->answer, "output", json_array),
				      json_deep_copy(item));
	if ((!strcmp(type, "response.completed") || !strcmp(type, "response.incomplete")) &&
	    json_array_size(json_object_get(response, "output")))
		json_put(to->answer, "output", json_deep_copy(json_object_get(response, "output")));
	if (!strcmp(type, "response.failed"))
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
	else if (error && !json_is_null(error))
		json_put(to->answer, "error", json_deep_copy(error));
	json_decref(j);
}

static void add_data(void *arg, const char *bytes, size_t n)
{
	struct joining *to = arg;

	buf_add(&to->data, bytes, n);
}

json_t *answer_join(const struct buf *body)
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
	return to.answer;
}
