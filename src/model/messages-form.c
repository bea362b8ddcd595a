/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The dialects differ in where things stand, hardly in what they are called: as in transcript.c, one walk over the
 * names that any of them uses serves all.
 */
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/messages.h"

/* The pieces of one turn go to one message as long as their role is the same. */
struct turn {
	json_t *messages;
	bool fresh; /* nothing of this turn was put yet */
};

static bool is_type(const json_t *j, const char *type)
{
	return strcmp(json_get_str(j, "type", ""), type) == 0;
}

static bool type_ends(const json_t *j, const char *end)
{
	const char *type = json_get_str(j, "type", "");
	size_t n = strlen(type), k = strlen(end);

	return n > k && strcmp(type + n - k, end) == 0;
}

static json_t *message(struct turn *t, const char *role)
{
	json_t *last = json_array_get(t->messages, json_array_size(t->messages) - 1);
	const bool same = last && !strcmp(json_get_str(last, "role", ""), role);

	/* What a model said in several items is one turn of its. */
	if (same && strcmp(role, "tool") != 0 && (!t->fresh || !strcmp(role, "assistant"))) {
		t->fresh = false;
		return last;
	}
	t->fresh = false;
	json_array_append_new(t->messages, last = json_object());
	json_put_str(last, "role", role);
	json_put_str(last, "content", "");
	return last;
}

static void add_text(json_t *to, const char *key, const char *text)
{
	const char *had = json_get_str(to, key, "");

	if (!text || !*text)
		return;
	AUTO(free) char *all = xasprintf("%s%s%s", had, *had ? "\n" : "", text);
	json_put_str(to, key, all);
}

/* Whatever a tool gave, as text. */
static void collect(struct buf *out, const json_t *v)
{
	size_t i;
	json_t *one;

	if (json_is_string(v)) {
		buf_addf(out, "%s%s", out->len ? "\n" : "", json_string_value(v));
	} else if (json_is_array(v)) {
		json_array_foreach (v, i, one)
			collect(out, one);
	} else if (json_is_string(json_object_get(v, "text"))) {
		collect(out, json_object_get(v, "text"));
	} else if (json_is_object(v) && strstr(json_get_str(v, "type", ""), "image")) {
		buf_adds(out, "[image]");
	} else if (v && !json_is_null(v)) {
		json_format(out, v, false);
	}
}

static void add_call(struct turn *t, const char *id, const char *name, const json_t *arguments)
{
	json_t *m = message(t, "assistant"), *calls = json_object_get(m, "tool_calls");
	json_t *call = json_object(), *function = json_object();
	AUTO(buf) struct buf text = BUF_INIT;

	if (!calls)
		json_put(m, "tool_calls", calls = json_array());
	if (json_is_string(arguments))
		buf_adds(&text, json_string_value(arguments));
	else if (arguments)
		json_format(&text, arguments, false);
	json_put_str(function, "name", name);
	json_put_str(function, "arguments", text.len ? text.data : "{}");
	json_put_str(call, "id", id);
	json_put_str(call, "type", "function");
	json_put(call, "function", function);
	json_array_append_new(calls, call);
}

static void add_result(struct turn *t, const char *id, const json_t *output)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *m = message(t, "tool");

	collect(&text, output);
	json_put_str(m, "tool_call_id", id);
	json_put_str(m, "content", text.len ? text.data : "");
}

static const char *id_of(const json_t *j)
{
	return json_get_str(j, "call_id", json_get_str(j, "id", NULL));
}

static const json_t *first_of(const json_t *j, const char *const *keys)
{
	const json_t *v = NULL;

	for (size_t i = 0; keys[i] && !v; i++)
		v = json_object_get(j, keys[i]);
	return v;
}

/* A call, or what came of it: true when PART is one. */
static bool add_tool(struct turn *t, const json_t *part)
{
	static const char *const arguments[] = {"arguments", "input", "action", "args", NULL};
	const json_t *v;

	if (is_type(part, "tool_use") || type_ends(part, "_call"))
		add_call(t, id_of(part), json_get_str(part, "name", json_get_str(part, "type", "")),
			 first_of(part, arguments));
	else if ((v = json_object_get(part, "functionCall")))
		add_call(t, json_get_str(v, "id", NULL), json_get_str(v, "name", ""),
			 json_object_get(v, "args"));
	else if ((v = json_object_get(part, "functionResponse")))
		add_result(t, json_get_str(v, "id", json_get_str(v, "name", NULL)),
			   json_object_get(v, "response"));
	else if (is_type(part, "tool_result"))
		add_result(t, json_get_str(part, "tool_use_id", NULL),
			   json_object_get(part, "content"));
	else if (type_ends(part, "_call_output"))
		add_result(t, id_of(part), json_object_get(part, "output"));
	else
		return false;
	return true;
}

static void add_part(struct turn *t, const char *role, const json_t *part)
{
	const char *text = json_get_str(part, "text", json_get_str(part, "refusal", NULL));

	if (json_is_string(part))
		add_text(message(t, role), "content", json_string_value(part));
	else if (add_tool(t, part))
		return;
	else if (is_type(part, "thinking"))
		add_text(message(t, "assistant"), "reasoning_content",
			 json_get_str(part, "thinking", ""));
	else if (json_get_bool(part, "thought", false))
		add_text(message(t, "assistant"), "reasoning_content", text);
	else if (text)
		add_text(message(t, role), "content", text);
	else if (strstr(json_get_str(part, "type", ""), "image") ||
		 json_object_get(part, "inlineData"))
		add_text(message(t, role), "content", "[image]");
}

static void add_parts(struct turn *t, const char *role, const json_t *content)
{
	size_t i;
	json_t *part;

	if (json_is_array(content))
		json_array_foreach (content, i, part)
			add_part(t, role, part);
	else if (content)
		add_part(t, role, content);
}

static void add_reasoning(struct turn *t, const json_t *item)
{
	static const char *const keys[] = {"summary", "content"};
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		if (json_array_size(json_object_get(item, keys[i])))
			collect(&text, json_object_get(item, keys[i]));
	if (text.len)
		add_text(message(t, "assistant"), "reasoning_content", text.data);
}

static const char *role_of(const json_t *item, const char *fallback)
{
	const char *role = json_get_str(item, "role", fallback);

	return !strcmp(role, "developer") ? "system" : !strcmp(role, "model") ? "assistant" : role;
}

/* A message, or an item, of a request or an answer. */
static void add_item(json_t *messages, const char *fallback, const json_t *item)
{
	static const char *const contents[] = {"content", "parts", NULL};
	struct turn t = {messages, true};
	const char *role = role_of(item, fallback);
	size_t i;
	json_t *call;

	if (json_is_string(item) || add_tool(&t, item)) {
		if (json_is_string(item))
			add_part(&t, fallback, item);
		return;
	}
	if (is_type(item, "reasoning")) {
		add_reasoning(&t, item);
		return;
	}
	if (!strcmp(role, "tool") || !strcmp(role, "function")) {
		add_result(&t, json_get_str(item, "tool_call_id", NULL),
			   json_object_get(item, "content"));
		return;
	}
	const char *thought =
		json_get_str(item, "reasoning_content", json_get_str(item, "reasoning", NULL));
	if (thought && *thought)
		add_text(message(&t, role), "reasoning_content", thought);
	add_parts(&t, role, first_of(item, contents));
	json_array_foreach (json_object_get(item, "tool_calls"), i, call)
		add_call(&t, json_get_str(call, "id", NULL),
			 json_get_str(json_object_get(call, "function"), "name", ""),
			 json_object_get(json_object_get(call, "function"), "arguments"));
}

static void add_items(json_t *messages, const char *role, const json_t *items)
{
	size_t i;
	json_t *item;

	if (json_is_array(items))
		json_array_foreach (items, i, item)
			add_item(messages, role, item);
	else if (items)
		add_item(messages, role, items);
}

/* Blocks of text that are one message. */
static void add_system(json_t *messages, const json_t *system)
{
	struct turn t = {messages, true};
	const json_t *parts = json_object_get(system, "parts");

	if (system && !json_is_null(system))
		add_parts(&t, "system", parts ? parts : system);
}

static void add_tools(json_t *tools, const json_t *list)
{
	static const char *const schemas[] = {"parameters", "input_schema", "parametersJsonSchema",
					      NULL};
	size_t i;
	json_t *tool;

	json_array_foreach (list, i, tool) {
		const json_t *of = json_object_get(tool, "function");
		const json_t *inner = json_object_get(tool, "functionDeclarations");
		if (inner) {
			add_tools(tools, inner);
			continue;
		}
		of = of ? of : tool;
		const json_t *schema = first_of(of, schemas);
		json_t *one = json_object(), *function = json_object();
		json_put_str(function, "name",
			     json_get_str(of, "name", json_get_str(tool, "type", "")));
		json_put_str(function, "description", json_get_str(of, "description", ""));
		json_put(function, "parameters", schema ? json_deep_copy(schema) : json_object());
		json_put_str(one, "type", "function");
		json_put(one, "function", function);
		json_array_append_new(tools, one);
	}
}

void messages_of_request(json_t *messages, json_t *tools, const json_t *request)
{
	static const char *const system[] = {"system", "instructions", "systemInstruction",
					     "system_instruction"};
	static const char *const said[] = {"messages", "input", "contents"};

	for (size_t i = 0; i < ARRAY_SIZE(system); i++)
		add_system(messages, json_object_get(request, system[i]));
	for (size_t i = 0; i < ARRAY_SIZE(said); i++)
		add_items(messages, "user", json_object_get(request, said[i]));
	add_tools(tools, json_object_get(request, "tools"));
}

void messages_of_answer(json_t *messages, const json_t *answer)
{
	const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
	const json_t *candidate = json_array_get(json_object_get(answer, "candidates"), 0);
	const json_t *content = json_object_get(answer, "content");

	if (choice)
		add_item(messages, "assistant", json_object_get(choice, "message"));
	if (candidate)
		add_item(messages, "assistant", json_object_get(candidate, "content"));
	add_items(messages, "assistant", json_object_get(answer, "output"));
	if (content) {
		struct turn t = {messages, true};
		add_parts(&t, "assistant", content);
	}
}
