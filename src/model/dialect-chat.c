/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "model/conversation.h"

static json_t *message(const char *role, const char *text, size_t len)
{
	json_t *j = json_object();

	json_put_str(j, "role", role);
	json_put_strn(j, "content", text, len);
	return j;
}

static bool is_openai(const char *model)
{
	return text_glob("*gpt-*", model) || text_glob("o[1-9]*", model) ||
	       text_glob("*/o[1-9]*", model);
}

static json_t *request(const struct conversation *t)
{
	json_t *j = json_object(), *messages = json_array();

	if (t->system)
		json_array_append_new(messages, message("system", t->system, strlen(t->system)));
	json_array_extend(messages, t->history);
	json_put_str(j, "model", t->model);
	json_put(j, "messages", messages);
	if (conversation_streams(t)) {
		json_put_bool(j, "stream", true);
		if (!(t->dropped & FORM_STREAM_OPTIONS))
			json_put(j, "stream_options", json_pack("{s:b}", "include_usage", 1));
	}
	if (t->tool)
		json_put(j, "tools",
			 json_pack("[{s:s, s:{s:s, s:s, s:O}}]", "type", "function", "function",
				   "name", t->tool->name, "description", t->tool->description,
				   "parameters", t->tool->parameters));
	/* Servers of other models may not know it. */
	if (conversation_cache_key(t) && text_glob("*gpt-*", t->model))
		json_put_str(j, "prompt_cache_key", conversation_cache_key(t));
	if (t->max_output) /* OpenAI's reasoning models refuse the one, other servers do not know the other */
		json_put_int(j, is_openai(t->model) ? "max_completion_tokens" : "max_tokens",
			     t->max_output);
	if (*conversation_thinking(t))
		json_put(j, "thinking", json_pack("{s:s}", "type", conversation_thinking(t)));
	if (conversation_seed(t) >= 0)
		json_put_int(j, "seed", conversation_seed(t));
	if (conversation_schema(t))
		json_put(j, "response_format",
			 json_pack("{s:s, s:{s:s, s:O, s:b}}", "type", "json_schema", "json_schema",
				   "name", t->form->name, "schema", conversation_schema(t),
				   "strict", 1));
	if (conversation_effort(t))
		json_put_str(j, "reasoning_effort", conversation_effort(t));
	if (conversation_temperature(t) >= 0)
		json_put_real(j, "temperature", conversation_temperature(t));
	if (conversation_top_p(t) >= 0)
		json_put_real(j, "top_p", conversation_top_p(t));
	return j;
}

/* What a server may want to see again, and nothing it may refuse. */
static json_t *kept(const json_t *said)
{
	static const char *const members[] = {"content", "tool_calls"};
	static const char *const reasoning[] = {"reasoning_content", "reasoning",
						"reasoning_details"};
	json_t *j = json_pack("{s:s}", "role", "assistant");

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *v = json_object_get(said, members[i]);
		const bool is_empty = json_is_array(v)	  ? json_array_size(v) == 0
				      : json_is_string(v) ? json_string_length(v) == 0
							  : !v;
		if (!is_empty)
			json_object_set(j, members[i], v);
	}
	/* Reasoning that led to calls has to come back with them, and an empty one too, where servers send any. */
	if (json_object_get(j, "tool_calls"))
		for (size_t i = 0; i < ARRAY_SIZE(reasoning); i++)
			if (json_object_get(said, reasoning[i]))
				json_object_set(j, reasoning[i],
						json_object_get(said, reasoning[i]));
	if (!json_object_get(j, "content"))
		json_put(j, "content",
			 json_object_get(j, "tool_calls") ? json_null() : json_string(""));
	return j;
}

static bool read(struct conversation *t, const json_t *answer, struct reply *reply)
{
	const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
	const json_t *said = json_object_get(choice, "message"),
		     *usage = json_object_get(answer, "usage");
	const char *why = json_get_str(choice, "finish_reason", "");
	size_t i;
	json_t *call;

	if (!json_is_object(said))
		return false;
	reply_add_text(&reply->text, json_object_get(said, "content"));
	reply_add_text(&reply->text, json_object_get(said, "refusal"));
	reply->refused = json_string_length(json_object_get(said, "refusal"));
	json_array_foreach (json_object_get(said, "tool_calls"), i, call) {
		json_t *f = json_object_get(call, "function");
		if (!*json_get_str(call, "id", "")) { /* what comes of it has to name it */
			char id[32];
			snprintf(id, sizeof id, "call_%zu_%zu", json_array_size(t->history), i);
			json_put_str(call, "id", id);
		}
		reply_add_call_text(reply, json_get_str(call, "id", ""),
				    json_get_str(f, "name", ""), f);
	}
	json_array_append_new(t->history, kept(said));
	reply->input = json_get_int(usage, "prompt_tokens", -1);
	reply->cached =
		json_get_int(json_object_get(usage, "prompt_tokens_details"), "cached_tokens", -1);
	reply->output = json_get_int(usage, "completion_tokens", -1);
	reply->cut =
		strcmp(why, "length") == 0 || strcmp(why, "model_context_window_exceeded") == 0;
	if (strcmp(why, "content_filter") == 0)
		reply->stuck = xstrdup("finish_reason content_filter");
	return true;
}

static void results(struct conversation *t, const struct reply *reply, const struct buf *outputs)
{
	for (size_t i = 0; i < reply->calls_n; i++) {
		json_t *j = json_pack("{s:s}", "role", "tool");
		conversation_show(t, j, "content", &outputs[i]);
		json_put_str(j, "tool_call_id", reply->calls[i].id);
		json_array_append_new(t->history, j);
	}
}

static void say(struct conversation *t, const char *text)
{
	json_array_append_new(t->history, message("user", text, strlen(text)));
}

static void picture(struct conversation *t, const char *type, const char *base64)
{
	char *url = xasprintf("data:%s;base64,%s", type, base64);

	json_array_append_new(
		conversation_last_parts(t, "text"),
		json_pack("{s:s, s:{s:s}}", "type", "image_url", "image_url", "url", url));
	free(url);
}

const struct dialect dialect_chat = {
	.api = API_CHAT,
	.path = "/v1/chat/completions",
	.key = "Authorization: Bearer %s",
	.headers = "",
	.request = request,
	.read = read,
	.results = results,
	.say = say,
	.picture = picture,
};
