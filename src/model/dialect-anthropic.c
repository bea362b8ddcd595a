/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "model/conversation.h"

/* This API wants a limit and refuses more than the model has. Generous: a model that thinks has to think and to answer
 * within it. */
static int max_tokens(const char *model)
{
	static const struct {
		const char *glob;
		int tokens;
	} limits[] = {
		{"*claude-3-opus*", 4096},
		{"*claude-3-sonnet*", 4096},
		{"*claude-3-haiku*", 4096},
		{"*claude-3-7*", 64000},
		{"*claude-3-*", 8192},
		{"*claude-opus-4-0*", 32000},
		{"*claude-opus-4-1*", 32000},
		{"*claude-opus-4-2025*", 32000},
		{"*claude-*", 64000},
		{"*deepseek*", 64000},
		{"*kimi*", 64000},
		{"*glm-*", 64000},
		{"*", 16384},
	};
	size_t i = 0;

	while (!text_glob(limits[i].glob, model))
		i++;
	return limits[i].tokens;
}

static json_t *ephemeral(void)
{
	return json_pack("{s:s}", "type", "ephemeral");
}

static json_t *text_block(const char *text)
{
	json_t *j = json_pack("{s:s}", "type", "text");

	json_put_str(j, "text", text);
	return j;
}

static bool is_thinking(const json_t *block)
{
	const char *type = json_get_str(block, "type", "");

	return strcmp(type, "thinking") == 0 || strcmp(type, "redacted_thinking") == 0;
}

static void mark(json_t *messages, size_t at)
{
	json_t *message = json_deep_copy(json_array_get(messages, at));
	json_t *content = json_object_get(message, "content");
	json_t *block = json_array_get(content, json_array_size(content) - 1);

	if (block && !is_thinking(block))
		json_put(block, "cache_control", ephemeral());
	json_array_set_new(messages, at, message);
}

/* The history with a mark at the end of each of its last two turns: up to the older one the provider's cache holds, and
 * is found however many blocks came since; up to the newer one it is read the next time. */
static json_t *marked(const json_t *history)
{
	json_t *messages = json_copy((json_t *)history);
	size_t left = 2;

	for (size_t i = json_array_size(messages); left && i-- > 0;)
		if (strcmp(json_get_str(json_array_get(messages, i), "role", ""), "user") == 0) {
			mark(messages, i);
			left--;
		}
	return messages;
}

/* What is thought is a part of it. */
static int64_t limit_of(const struct conversation *t)
{
	enum { ANSWER = 8192 };
	const int64_t usual = max_tokens(t->model),
		      thought = strtoll(conversation_thinking(t), NULL, 10);

	if (t->max_output)
		return t->max_output;
	return thought && thought + ANSWER > usual ? thought + ANSWER : usual;
}

static json_t *request(const struct conversation *t)
{
	json_t *j = json_object();

	json_put_str(j, "model", t->model);
	json_put_int(j, "max_tokens", limit_of(t));
	if (conversation_streams(t))
		json_put_bool(j, "stream", true);
	if (t->system) {
		json_t *system = text_block(t->system);
		json_put(system, "cache_control", ephemeral());
		json_put(j, "system", json_pack("[o]", system));
	}
	json_put(j, "messages", marked(t->history));
	if (t->tool)
		json_put(j, "tools",
			 json_pack("[{s:s, s:s, s:O}]", "name", t->tool->name, "description",
				   t->tool->description, "input_schema", t->tool->parameters));
	json_t *output = json_object();
	if (conversation_schema(t))
		json_put(output, "format",
			 json_pack("{s:s, s:O}", "type", "json_schema", "schema",
				   conversation_schema(t)));
	if (conversation_effort(t))
		json_put_str(output, "effort", conversation_effort(t));
	if (json_object_size(output))
		json_object_set(j, "output_config", output);
	json_decref(output);
	const char *thinking = conversation_thinking(t);
	if (*thinking >= '0' && *thinking <= '9')
		json_put(j, "thinking",
			 json_pack("{s:s, s:I}", "type", "enabled", "budget_tokens",
				   (json_int_t)strtoll(thinking, NULL, 10)));
	else if (*thinking)
		json_put(j, "thinking", json_pack("{s:s}", "type", thinking));
	if (conversation_temperature(t) >= 0)
		json_put_real(j, "temperature", conversation_temperature(t));
	if (conversation_top_p(t) >= 0)
		json_put_real(j, "top_p", conversation_top_p(t));
	return j;
}

static void say(struct conversation *t, const char *text)
{
	json_array_append_new(
		t->history, json_pack("{s:s, s:[o]}", "role", "user", "content", text_block(text)));
}

static void picture(struct conversation *t, const char *type, const char *base64)
{
	json_array_append_new(conversation_last_parts(t, "text"),
			      json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", "image", "source",
					"type", "base64", "media_type", type, "data", base64));
}

static void read_usage(const json_t *usage, struct reply *reply)
{
	int64_t fresh = json_get_int(usage, "input_tokens", -1);

	reply->cached = json_get_int(usage, "cache_read_input_tokens", 0);
	reply->input = fresh < 0 ? -1
				 : fresh + reply->cached +
					   json_get_int(usage, "cache_creation_input_tokens", 0);
	reply->output = json_get_int(usage, "output_tokens", -1);
}

/* An input that is no object would be refused when it is sent back. New reference. */
static json_t *readable(json_t *input)
{
	json_t *j = json_is_string(input)
			    ? json_foreign(json_string_value(input), json_string_length(input))
			    : NULL;

	if (json_is_object(j))
		return j;
	json_decref(j);
	return input ? json_pack("{s:O}", "unreadable", input) : json_object();
}

static bool read(struct conversation *t, const json_t *answer, struct reply *reply)
{
	json_t *content = json_object_get(answer, "content"), *block;
	const char *why = json_get_str(answer, "stop_reason", "");
	size_t i;

	if (!json_is_array(content))
		return false;
	json_array_foreach (content, i, block) {
		const char *type = json_get_str(block, "type", "");
		if (strcmp(type, "text") == 0)
			reply_add_text(&reply->text, json_object_get(block, "text"));
		if (strcmp(type, "tool_use") == 0 &&
		    !json_is_object(json_object_get(block, "input")))
			json_put(block, "input", readable(json_object_get(block, "input")));
		if (strcmp(type, "tool_use") == 0)
			reply_add_call(reply, json_get_str(block, "id", ""),
				       json_get_str(block, "name", ""),
				       json_object_get(block, "input"));
	}
	/* An empty turn would be refused when it is sent back. */
	if (json_array_size(content))
		json_array_append_new(t->history, json_pack("{s:s, s:O}", "role", "assistant",
							    "content", content));
	read_usage(json_object_get(answer, "usage"), reply);
	reply->cut =
		strcmp(why, "max_tokens") == 0 || strcmp(why, "model_context_window_exceeded") == 0;
	if (strcmp(why, "refusal") == 0)
		reply->stuck = xstrdup("stop_reason refusal");
	return true;
}

static void results(struct conversation *t, const struct reply *reply, const struct buf *outputs)
{
	json_t *blocks = json_array();

	for (size_t i = 0; i < reply->calls_n; i++) {
		json_t *j = json_pack("{s:s}", "type", "tool_result");
		json_put_str(j, "tool_use_id", reply->calls[i].id);
		conversation_show(t, j, "content", &outputs[i]);
		if (reply->calls[i].failed)
			json_put_bool(j, "is_error", true);
		json_array_append_new(blocks, j);
	}
	json_array_append_new(t->history,
			      json_pack("{s:s, s:o}", "role", "user", "content", blocks));
}

static bool unbind(struct conversation *t)
{
	bool found = false;

	for (size_t i = json_array_size(t->history); i-- > 0;) {
		json_t *message = json_array_get(t->history, i);
		json_t *content = json_object_get(message, "content");
		for (size_t n = json_array_size(content); n-- > 0;)
			if (is_thinking(json_array_get(content, n))) {
				json_array_remove(content, n);
				found = true;
			}
		if (json_is_array(content) && !json_array_size(content))
			json_array_remove(t->history, i);
	}
	return found;
}

const struct dialect dialect_anthropic = {
	.api = API_ANTHROPIC,
	.path = "/v1/messages",
	.key = "x-api-key: %s",
	.headers = "anthropic-version: 2023-06-01\r\n",
	.request = request,
	.read = read,
	.results = results,
	.say = say,
	.picture = picture,
	.unbind = unbind,
};
