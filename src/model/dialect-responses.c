/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"
#include "model/conversation.h"

/* Nothing is kept at the provider: reasoning travels in the history, encrypted, where the model has any. */
static json_t *request(const struct conversation *t)
{
	json_t *j = json_object();

	json_put_str(j, "model", t->model);
	json_put_str(j, "instructions", t->system);
	json_object_set(j, "input", t->history);
	if (t->tool)
		json_put(j, "tools",
			 json_pack("[{s:s, s:s, s:s, s:O, s:b}]", "type", "function", "name",
				   t->tool->name, "description", t->tool->description, "parameters",
				   t->tool->parameters, "strict", 0));
	json_put_bool(j, "store", false);
	if (conversation_streams(t))
		json_put_bool(j, "stream", true);
	if (conversation_cache_key(t))
		json_put_str(j, "prompt_cache_key", conversation_cache_key(t));
	if (!t->plain)
		json_put(j, "include", json_pack("[s]", "reasoning.encrypted_content"));
	if (t->max_output)
		json_put_int(j, "max_output_tokens", t->max_output);
	if (conversation_schema(t))
		json_put(j, "text",
			 json_pack("{s:{s:s, s:s, s:O, s:b}}", "format", "type", "json_schema",
				   "name", t->form->name, "schema", conversation_schema(t),
				   "strict", 1));
	if (conversation_effort(t))
		json_put(j, "reasoning", json_pack("{s:s}", "effort", conversation_effort(t)));
	if (conversation_temperature(t) >= 0)
		json_put_real(j, "temperature", conversation_temperature(t));
	if (conversation_top_p(t) >= 0)
		json_put_real(j, "top_p", conversation_top_p(t));
	return j;
}

/* As it may be sent back: an id would be looked for where nothing was stored. */
static void keep(struct conversation *t, const json_t *item)
{
	json_t *copy;

	if (strcmp(json_get_str(item, "type", ""), "reasoning") == 0 &&
	    !json_is_string(json_object_get(item, "encrypted_content")))
		return;
	copy = json_copy((json_t *)item);
	json_object_del(copy, "id");
	json_object_del(copy, "status");
	json_array_append_new(t->history, copy);
}

static void read_item(struct reply *reply, json_t *item)
{
	const char *type = json_get_str(item, "type", "");
	size_t i;
	json_t *part;

	if (strcmp(type, "function_call") == 0)
		reply_add_call_text(reply, json_get_str(item, "call_id", ""),
				    json_get_str(item, "name", ""), item);
	if (strcmp(type, "message") != 0)
		return;
	json_array_foreach (json_object_get(item, "content"), i, part) {
		reply_add_text(&reply->text, json_object_get(part, "text"));
		reply_add_text(&reply->text, json_object_get(part, "refusal"));
		reply->refused |= json_string_length(json_object_get(part, "refusal")) > 0;
	}
}

static bool read(struct conversation *t, const json_t *answer, struct reply *reply)
{
	const json_t *usage = json_object_get(answer, "usage"),
		     *output = json_object_get(answer, "output");
	const char *status = json_get_str(answer, "status", "");
	size_t i;
	json_t *item;

	if (!json_is_array(output))
		return false;
	json_array_foreach (output, i, item) {
		if (!json_is_object(item))
			continue;
		read_item(reply, item);
		keep(t, item);
	}
	reply->input = json_get_int(usage, "input_tokens", -1);
	reply->cached =
		json_get_int(json_object_get(usage, "input_tokens_details"), "cached_tokens", -1);
	reply->output = json_get_int(usage, "output_tokens", -1);
	if (strcmp(status, "incomplete") == 0) {
		const char *why = json_get_str(json_object_get(answer, "incomplete_details"),
					       "reason", "incomplete");
		reply->cut = strcmp(why, "content_filter") != 0;
		if (!reply->cut)
			reply->stuck = xstrdup(why);
	}
	return true;
}

static void results(struct conversation *t, const struct reply *reply, const struct buf *outputs)
{
	for (size_t i = 0; i < reply->calls_n; i++) {
		json_t *j = json_object();
		json_put_str(j, "type", "function_call_output");
		json_put_str(j, "call_id", reply->calls[i].id);
		conversation_show(t, j, "output", &outputs[i]);
		json_array_append_new(t->history, j);
	}
}

static void say(struct conversation *t, const char *text)
{
	json_t *j = json_object();

	json_put_str(j, "role", "user");
	json_put_str(j, "content", text);
	json_array_append_new(t->history, j);
}

static void picture(struct conversation *t, const char *type, const char *base64)
{
	char *url = xasprintf("data:%s;base64,%s", type, base64);

	json_array_append_new(conversation_last_parts(t, "input_text"),
			      json_pack("{s:s, s:s}", "type", "input_image", "image_url", url));
	free(url);
}

const struct dialect dialect_responses = {
	.api = API_RESPONSES,
	.path = "/v1/responses",
	.key = "Authorization: Bearer %s",
	.headers = "",
	.request = request,
	.read = read,
	.results = results,
	.say = say,
	.picture = picture,
};
