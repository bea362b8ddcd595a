/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "model/conversation.h"

static json_t *text_parts(const char *text)
{
	json_t *part = json_object();

	json_put_str(part, "text", text);
	return json_pack("[o]", part);
}

/* As many as an answer may have, the thinking included; 0: the server's own limit. */
static int max_tokens(const struct conversation *t)
{
	const char *model = t->model;

	return text_glob("*gemini-1*", model) || text_glob("*gemini-2.0*", model) ? 8192
	       : text_glob("*gemini-*", model) ? (conversation_streams(t) ? 65536 : 32768)
					       : 0;
}

static int64_t thinking_budget(const char *thinking)
{
	return strcmp(thinking, "adaptive") == 0 ? -1 : strtoll(thinking, NULL, 10);
}

static json_t *generation(const struct conversation *t)
{
	json_t *j = json_object();

	const int limit = t->max_output ? t->max_output : max_tokens(t);

	if (limit)
		json_put_int(j, "maxOutputTokens", limit);
	if (conversation_schema(t)) {
		json_put_str(j, "responseMimeType", "application/json");
		json_object_set(j, "responseJsonSchema", (json_t *)conversation_schema(t));
	}
	if (conversation_effort(t))
		json_put(j, "thinkingConfig",
			 json_pack("{s:s}", "thinkingLevel", conversation_effort(t)));
	else if (*conversation_thinking(t))
		json_put(j, "thinkingConfig",
			 json_pack("{s:I}", "thinkingBudget",
				   (json_int_t)thinking_budget(conversation_thinking(t))));
	if (conversation_seed(t) >= 0)
		json_put_int(j, "seed", conversation_seed(t));
	if (conversation_temperature(t) >= 0)
		json_put_real(j, "temperature", conversation_temperature(t));
	if (conversation_top_p(t) >= 0)
		json_put_real(j, "topP", conversation_top_p(t));
	return j;
}

static json_t *request(const struct conversation *t)
{
	json_t *j = json_object();

	if (t->system)
		json_put(j, "systemInstruction",
			 json_pack("{s:o}", "parts", text_parts(t->system)));
	json_object_set(j, "contents", t->history);
	if (t->tool)
		json_put(j, "tools",
			 json_pack("[{s:[{s:s, s:s, s:O}]}]", "functionDeclarations", "name",
				   t->tool->name, "description", t->tool->description, "parameters",
				   t->tool->parameters));
	/* A long answer comes in several, to the very same request but for this. */
	if (t->continuation)
		json_put_str(j, "continuationToken", t->continuation);
	json_t *config = generation(t);
	if (json_object_size(config))
		json_object_set(j, "generationConfig", config);
	json_decref(config);
	return j;
}

static void say(struct conversation *t, const char *text)
{
	json_array_append_new(t->history,
			      json_pack("{s:s, s:o}", "role", "user", "parts", text_parts(text)));
}

static void picture(struct conversation *t, const char *type, const char *base64)
{
	const json_t *last = json_array_get(t->history, json_array_size(t->history) - 1);

	json_array_append_new(
		json_object_get(last, "parts"),
		json_pack("{s:{s:s, s:s}}", "inlineData", "mimeType", type, "data", base64));
}

static void read_parts(const json_t *parts, struct reply *reply)
{
	size_t i;
	json_t *part;

	json_array_foreach (parts, i, part) {
		const json_t *call = json_object_get(part, "functionCall");
		if (call)
			reply_add_call(reply, json_get_str(call, "id", ""),
				       json_get_str(call, "name", ""),
				       json_object_get(call, "args"));
		else if (!json_get_bool(part, "thought", false))
			reply_add_text(&reply->text, json_object_get(part, "text"));
	}
}

static void add(int64_t *sum, int64_t n)
{
	*sum = (*sum < 0 ? 0 : *sum) + n;
}

static void read_usage(const json_t *usage, struct reply *reply)
{
	int64_t said = json_get_int(usage, "candidatesTokenCount", 0);

	const int64_t input = json_get_int(usage, "promptTokenCount", -1);

	if (input < 0)
		return;
	/* Each part of an answer is billed. */
	add(&reply->input, input);
	add(&reply->cached, json_get_int(usage, "cachedContentTokenCount", 0));
	add(&reply->output, said + json_get_int(usage, "thoughtsTokenCount", 0));
}

/* The reasons for which a provider ends a conversation; any other one is no end of the work. */
static void read_reason(const char *why, struct reply *reply)
{
	static const char *const ends[] = {
		"SAFETY", "RECITATION",	 "BLOCKLIST",  "PROHIBITED_CONTENT",   "SPII", "LANGUAGE",
		"OTHER",  "MODEL_ARMOR", "ESCALATION", "PUP_LIMITED_DISABLED",
	};

	reply->cut = strcmp(why, "MAX_TOKENS") == 0;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (strcmp(why, ends[i]) == 0)
			reply->stuck = xasprintf("finishReason %s", why);
}

/* An answer's first part, with a word to get the next by. */
static bool goes_on(struct conversation *t, const json_t *candidate, const json_t *parts)
{
	const char *token = json_get_str(candidate, "continuationToken", NULL);
	const bool more =
		strcmp(json_get_str(candidate, "finishReason", ""), "CONTINUATION") == 0 && token;

	free(t->continuation);
	t->continuation = more ? xstrdup(token) : NULL;
	if (!more)
		return false;
	if (!t->begun)
		t->begun = json_array();
	json_array_extend(t->begun, (json_t *)parts);
	return true;
}

static bool read_answer(struct conversation *t, const json_t *answer, struct reply *reply)
{
	json_t *candidate = json_array_get(json_object_get(answer, "candidates"), 0);
	json_t *content = json_object_get(candidate, "content");
	const json_t *parts = json_object_get(content, "parts");
	const char *blocked =
		json_get_str(json_object_get(answer, "promptFeedback"), "blockReason", NULL);
	const char *why = json_get_str(candidate, "finishReason", "");

	read_usage(json_object_get(answer, "usageMetadata"), reply);
	if (blocked) {
		reply->stuck = xasprintf("blockReason %s", blocked);
		return true;
	}
	if (!json_is_object(candidate))
		return false;
	if (goes_on(t, candidate, parts)) {
		reply->goes_on = true;
		return true;
	}
	AUTO(json) json_t *all = t->begun ? t->begun : json_array();
	t->begun = NULL;
	json_array_extend(all, (json_t *)parts);
	reply->goes_on = false;
	read_parts(all, reply);
	if (json_array_size(all)) {
		json_t *said = content ? json_copy(content) : json_object();
		json_put_str(said, "role", "model");
		json_object_set(said, "parts", all);
		json_array_append_new(t->history, said);
	}
	/* A call it could not put into words is a mistake of the model's, like one we cannot read. */
	if ((strcmp(why, "MALFORMED_FUNCTION_CALL") == 0 ||
	     strcmp(why, "UNEXPECTED_TOOL_CALL") == 0) &&
	    !reply->calls_n)
		reply_add_call(reply, "", t->tool ? t->tool->name : "", NULL);
	read_reason(why, reply);
	return true;
}

/* Without a turn of the model's there is nothing that a functionResponse would answer. */
static bool has_call(const json_t *turn)
{
	size_t i;
	json_t *part;

	json_array_foreach (json_object_get(turn, "parts"), i, part)
		if (json_object_get(part, "functionCall"))
			return true;
	return false;
}

static void results(struct conversation *t, const struct reply *reply, const struct buf *outputs)
{
	json_t *parts = json_array();
	size_t n = json_array_size(t->history);

	if (!n || !has_call(json_array_get(t->history, n - 1))) {
		json_decref(parts);
		say(t, outputs[0].data);
		return;
	}
	for (size_t i = 0; i < reply->calls_n; i++) {
		json_t *j = json_object(), *response = json_object();
		if (*reply->calls[i].id)
			json_put_str(j, "id", reply->calls[i].id);
		json_put_str(j, "name", reply->calls[i].name);
		conversation_show(t, response, "output", &outputs[i]);
		json_put(j, "response", response);
		json_array_append_new(parts, json_pack("{s:o}", "functionResponse", j));
	}
	json_array_append_new(t->history, json_pack("{s:s, s:o}", "role", "user", "parts", parts));
}

const struct dialect dialect_gemini = {
	.api = API_GEMINI,
	.path = "/v1beta/models/{model}:generateContent",
	.stream_path = "/v1beta/models/{model}:streamGenerateContent?alt=sse",
	.key = "x-goog-api-key: %s",
	.headers = "",
	.request = request,
	.read = read_answer,
	.results = results,
	.say = say,
	.picture = picture,
};
