/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/conversation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/image-type.h"
#include "model/answer-stream.h"

enum {
	AGAIN_MAX = 4
}; /* what fails for the moment is asked again so often, after 1, 2, 4 and 8 s */

const struct dialect *const dialects[API_COUNT] = {
	[API_RESPONSES] = &dialect_responses,
	[API_CHAT] = &dialect_chat,
	[API_ANTHROPIC] = &dialect_anthropic,
	[API_GEMINI] = &dialect_gemini,
};

void conversation_say(struct conversation *t, const char *text)
{
	t->dialect->say(t, text);
}

void conversation_picture(struct conversation *t, const void *data, size_t len)
{
	const char *type = image_type(data, len);
	AUTO(buf) struct buf coded = BUF_INIT;

	base64_encode(&coded, data, len);
	t->dialect->picture(t, type ? type : "image/png", coded.data);
}

void conversation_results(struct conversation *t, const struct reply *reply,
			  const struct buf *outputs)
{
	t->seen = t->shown_n;
	t->dialect->results(t, reply, outputs);
}

void conversation_release(struct conversation *t)
{
	free(t->shown);
	free(t->system);
	free(t->continuation);
	json_decref(t->begun);
	json_decref(t->history);
}

/* The path and headers of a request; what stands in them is the plan's and ours. */
static void address(const struct conversation *t, const struct model_client *c, struct buf *path,
		    struct buf *headers)
{
	const char *template = conversation_streams(t) && t->dialect->stream_path
				       ? t->dialect->stream_path
				       : t->dialect->path;
	const char *model = strstr(template, "{model}");
	const char *key = t->dialect->key, *hole = strstr(key, "%s");

	if (!model) {
		buf_adds(path, template);
	} else {
		buf_addf(path, "%.*s", (int)(model - template), template);
		for (const char *p = t->model; *p; p++) {
			bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
				     (*p >= '0' && *p <= '9') || strchr("-._~@", *p);
			buf_addf(path, plain ? "%c" : "%%%02X", (unsigned char)*p);
		}
		buf_adds(path, model + strlen("{model}"));
	}
	if (c->token)
		buf_addf(headers, "%.*s%s%s\r\n", (int)(hole - key), key, c->token, hole + 2);
	buf_adds(headers, t->dialect->headers);
}

int conversation_post(const struct conversation *t, const struct model_client *c,
		      struct http_answer *out, struct err *err)
{
	AUTO(buf) struct buf path = BUF_INIT, headers = BUF_INIT, body = BUF_INIT;
	AUTO(json) json_t *request = t->dialect->request(t);

	address(t, c, &path, &headers);
	json_format(&body, request, false);
	return http_post(c, path.data, headers.data, &body, out, err);
}

/* A model that does not reason refuses to be asked for its reasoning. */
static bool is_about_reasoning(const struct conversation *t, const struct http_answer *a)
{
	return a->status == 400 && t->dialect->api == API_RESPONSES && !t->plain &&
	       strstr(a->body.data, "ncrypted");
}

/* A block of thinking is taken only after the very history that it was made with, and by the account that made it. */
static bool is_about_binding(const struct conversation *t, const struct http_answer *a)
{
	return a->status == 400 && t->dialect->unbind && strcasestr(a->body.data, "signature") &&
	       strcasestr(a->body.data, "thinking");
}

/* The most that Anthropic's dialect says an answer may have, where it was asked for more; 0: it says nothing of it. */
static int most_output(const struct http_answer *a)
{
	const char *p = a->status == 400 ? strstr(a->body.data, "max_tokens: ") : NULL;
	int asked, most;

	return p && sscanf(p, "max_tokens: %d > %d", &asked, &most) == 2 && most > 0 && most < asked
		       ? most
		       : 0;
}

/* In each provider's words, and in those of servers that answer in place of one. */
static bool is_about_length(const struct http_answer *a)
{
	static const char *const words[] = {
		"context_length_exceeded",
		"prompt is too long",
		"exceed context limit",
		"maximum context length",
		"context window",
		"exceeds the maximum number of tokens",
		"maximum prompt length is",		/* xAI */
		"model's context length",		/* vLLM, SGLang, Together */
		"longer than the maximum model length", /* vLLM */
		"exceed_context_size",			/* llama.cpp */
		"available context size",
		"exceeded max context length",		 /* Ollama */
		"greater than the context length",	 /* LM Studio */
		"input is too long for requested model", /* Bedrock */
		"exceeded model token limit",		 /* Kimi */
		"prompt exceeds max length",		 /* GLM */
		"prompt too long",
		"range of input length should be", /* Qwen */
		"reduce the length of the",	   /* Groq */
	};
	static const char *const others[] = {"rate limit", "too many requests", "throttling"};

	if (a->status == 429) /* than what may be asked in a minute */
		return strcasestr(a->body.data, "request too large");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strcasestr(a->body.data, others[i]))
			return false;
	for (size_t i = 0; a->status >= 400 && i < ARRAY_SIZE(words); i++)
		if (strcasestr(a->body.data, words[i]))
			return true;
	return a->status == 413;
}

static bool names_any(const struct http_answer *a, const char *const *words)
{
	for (; *words; words++)
		if (strcasestr(a->body.data, *words))
			return true;
	return false;
}

/* Of what the request said of its answer's form, the first part that the provider's words name; 0: none. In each
 * provider's words, and those of servers that answer in place of one. */
static unsigned refused_part(const struct conversation *t, const struct http_answer *a)
{
	static const char *const sampling[] = {"temperature", "top_p", "topP", NULL};
	static const char *const effort[] = {"effort", "thinking", "reasoning", NULL};
	static const char *const stream_options[] = {"stream_options", "include_usage", NULL};
	static const char *const stream[] = {
		"streaming", "\"stream\"", "'stream'", "`stream`", "streamGenerateContent", NULL};
	static const char *const cache_key[] = {"prompt_cache_key", NULL};
	static const char *const schema[] = {"response_format",	  "json_schema",  "output_config",
					     "text.format",	  "responseJson", "response_json",
					     "responseMime",	  "guided",	  "grammar",
					     "structured output", "schema",	  NULL};
	const bool asks[] = {
		t->form && (conversation_temperature(t) >= 0 || conversation_top_p(t) >= 0),
		t->form && conversation_effort(t) != NULL, conversation_schema(t) != NULL};

	if (a->status != 400 && a->status != 404 && a->status != 422 && a->status != 501)
		return 0;
	if (conversation_streams(t) && !(t->dropped & FORM_STREAM_OPTIONS) &&
	    names_any(a, stream_options))
		return FORM_STREAM_OPTIONS;
	if (conversation_streams(t) && names_any(a, stream))
		return FORM_STREAM;
	if (conversation_cache_key(t) && names_any(a, cache_key))
		return FORM_CACHE_KEY;
	if (asks[0] && names_any(a, sampling))
		return FORM_SAMPLING;
	if (asks[1] && names_any(a, effort))
		return FORM_EFFORT;
	return asks[2] && names_any(a, schema) ? FORM_SCHEMA : 0;
}

/* Some providers, and resellers of them, have no whole answers. */
static bool wants_stream(const struct conversation *t, const struct http_answer *a)
{
	static const char *const words[] = {"must",   "only",	    "require",
					    "enable", "non-stream", NULL};

	return !t->stream && !(t->dropped & FORM_STREAM) && a->status >= 400 && a->status < 500 &&
	       a->status != 429 && strcasestr(a->body.data, "stream") && names_any(a, words);
}

/* What a provider refuses in a form that can be mended is mended, and posted again. */
static int post_what_is_taken(struct conversation *t, const struct model_client *c,
			      struct http_answer *a, size_t *forgotten, struct err *err)
{
	bool mended;

	do {
		http_answer_release(a);
		if (conversation_post(t, c, a, err))
			return -1;
		mended = false;
		unsigned part = a->late || a->status == 200 ? 0 : refused_part(t, a);
		if (part) {
			t->dropped |= part;
			mended = true;
		} else if (!a->late && wants_stream(t, a)) {
			mended = t->stream = true;
		} else if (!a->late && is_about_reasoning(t, a)) {
			mended = t->plain = true;
		} else if (!a->late && most_output(a) && most_output(a) != t->max_output &&
			   !(t->options && t->options->max_output_tokens)) {
			t->max_output = most_output(a);
			mended = true;
		} else if (!a->late && is_about_binding(t, a)) {
			mended = t->dialect->unbind(t);
		} else if (!a->late && is_about_length(a)) {
			size_t n = conversation_forget(t);
			*forgotten += n;
			mended = n > 0;
		}
	} while (mended);
	return 0;
}

/* The failure that stands in ANSWER, whatever its status of HTTP said; NULL: none. Borrowed. */
static const json_t *failure_in(const json_t *answer)
{
	const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
	const json_t *places[] = {json_object_get(answer, "error"),
				  json_object_get(choice, "error")};
	static const char *const ends[] = {"error", "network_error", "abort"};
	const char *end = json_get_str(choice, "finish_reason", "");

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (json_object_size(places[i]) || json_string_length(places[i]))
			return places[i];
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (strcmp(end, ends[i]) == 0)
			return choice;
	bool is_one = strcmp(json_get_str(answer, "status", ""), "failed") == 0 ||
		      strcmp(json_get_str(answer, "object", ""), "error") == 0 ||
		      strcmp(json_get_str(answer, "type", ""), "error") == 0;
	return is_one ? answer : NULL;
}

/* A failure that the same request would meet again. */
static bool is_final(const json_t *failure)
{
	static const char *const members[] = {"code", "type", "status"};
	static const char *const words[] = {
		"invalid",    "policy",	   "quota",	"billing",	  "authentic",
		"permission", "not_found", "residency", "context_length", "precondition",
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		const json_t *v = json_object_get(failure, members[i]);
		const char *text = json_is_string(v) ? json_string_value(v) : "";
		int64_t n = json_is_integer(v) ? json_integer_value(v) : strtoll(text, NULL, 10);

		if (n >= 400 && n < 500 && n != 408 && n != 409 && n != 425 && n != 429)
			return true;
		for (size_t w = 0; w < ARRAY_SIZE(words); w++)
			if (strcasestr(text, words[w]))
				return true;
	}
	return false;
}

/* In what a provider says of its refusal, in each dialect. */
static int refused(const struct http_answer *a, struct reply *out, bool *passing, struct err *err)
{
	AUTO(json)
	json_t *list = answer_is_stream(&a->body) ? answer_join(&a->body, NULL)
						  : json_foreign(a->body.data, a->body.len);
	const json_t *j = json_is_array(list) ? json_array_get(list, 0) : list;
	const json_t *failure = failure_in(j);
	const char *text = json_is_string(failure) ? json_string_value(failure)
						   : json_get_str(failure, "message", NULL);
	AUTO(free) char *why =
		xasprintf("%sthe model's API answered %d%s: %.300s",
			  is_about_length(a) ? "the model's context is full: " : "", a->status,
			  a->status == 200 ? " with an error" : "", text ? text : a->body.data);
	bool refuses = a->status == 200 ? is_final(failure) : a->status >= 400 && a->status < 500;

	out->status = a->status;
	if (refuses && (a->status != 429 || is_about_length(a))) {
		out->stuck = STEAL(&why);
		return ASKED_REFUSED;
	}
	*passing = a->status == 200 || (a->status >= 500 && a->status != 501 && a->status != 505);
	return err_retry(err, 0, "%s", why);
}

/* PASSING: what fails may be another matter in a moment. */
static int ask_once(struct conversation *t, const struct model_client *c, struct reply *out,
		    bool *passing, struct err *err)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;

	*passing = false;
	if (post_what_is_taken(t, c, &a, &out->forgotten, err)) {
		*passing = a.broken;
		return -1;
	}
	if (a.late)
		return ASKED_LATE;
	bool whole = true;
	AUTO(json)
	json_t *answer = a.status != 200	     ? NULL
			 : answer_is_stream(&a.body) ? answer_join(&a.body, &whole)
						     : json_foreign(a.body.data, a.body.len);
	if (a.status != 200 ||
	    failure_in(json_is_array(answer) ? json_array_get(answer, 0) : answer))
		return refused(&a, out, passing, err);
	*passing = true;
	if (!whole)
		return err_retry(err, 0, "the model's API broke its answer off: ...%.200s",
				 a.body.len > 200 ? a.body.data + a.body.len - 200 : a.body.data);
	if (answer && t->dialect->read(t, answer, out)) {
		out->status = 0;
		return ASKED_ANSWERED;
	}
	return err_retry(err, 0, "the model's API answered what is no %s answer: %.200s",
			 api_names[t->dialect->api], a.body.data);
}

int conversation_ask(struct conversation *t, const struct model_client *c, struct reply *out,
		     struct err *err)
{
	struct err why;
	bool passing;

	for (int again = 0;; again++) {
		int asked = ask_once(t, c, out, &passing, &why);
		if (asked == ASKED_ANSWERED && out->goes_on) {
			again = -1;
			continue;
		}
		if (asked >= 0)
			return asked;
		int waited = passing && again < AGAIN_MAX ? http_pause(c, 1000 << again, &why) : -1;
		if (waited < 0) {
			*err = why;
			return -1;
		}
		if (waited)
			return ASKED_LATE;
	}
}
