/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/conversation.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/answer-stream.h"

enum {
	FORGET_MIN = 200, /* what is shorter than this is not worth a note in its place */
	AGAIN_MAX =
		4, /* what fails for the moment is asked again so often, after 1, 2, 4 and 8 s */
};

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

void conversation_results(struct conversation *t, const struct reply *reply,
			  const struct buf *outputs)
{
	t->seen = t->shown_n;
	t->dialect->results(t, reply, outputs);
}

void conversation_show(struct conversation *t, json_t *holder, const char *member,
		       const struct buf *text)
{
	json_put_strn(holder, member, text->data, text->len);
	if (text->len < FORGET_MIN)
		return;
	GROW(t->shown, t->shown_n, t->shown_cap);
	t->shown[t->shown_n++] = (struct shown_output){holder, member};
}

static size_t forget_one(const struct shown_output *s)
{
	json_t *text = json_object_get(s->holder, s->member);
	size_t size = json_string_length(text);
	const char *last = strrchr(json_string_value(text), '\n'); /* how the command ended */
	AUTO(free) char *left =
		xasprintf("[output left out: the conversation has become too long]\n%s",
			  last && strlen(last) < FORGET_MIN / 2 ? last + 1 : "");

	json_put_str(s->holder, s->member, left);
	return size;
}

size_t conversation_forget(struct conversation *t)
{
	size_t n = 0, all = 0, gone = 0;

	if (!t->seen)
		return 0;
	for (size_t i = 0; i < t->seen; i++)
		all += json_string_length(json_object_get(t->shown[i].holder, t->shown[i].member));
	while (n < t->seen && 2 * gone < all)
		gone += forget_one(&t->shown[n++]);
	t->seen -= n;
	t->shown_n -= n;
	memmove(t->shown, t->shown + n, t->shown_n * sizeof *t->shown);
	if (n && t->dialect && t->dialect->unbind)
		(void)t->dialect->unbind(t);
	return n;
}

const json_t *conversation_schema(const struct conversation *t)
{
	return t->form && !(t->dropped & FORM_SCHEMA) ? t->form->schema : NULL;
}

bool conversation_streams(const struct conversation *t)
{
	return t->stream && !(t->dropped & FORM_STREAM);
}

const char *conversation_effort(const struct conversation *t)
{
	if (t->options && *t->options->effort)
		return t->options->effort;
	return t->form && !(t->dropped & FORM_EFFORT) ? t->form->effort : NULL;
}

const char *conversation_thinking(const struct conversation *t)
{
	return t->options ? t->options->thinking : "";
}

int64_t conversation_seed(const struct conversation *t)
{
	return t->options ? t->options->seed : -1;
}

const char *conversation_cache_key(const struct conversation *t)
{
	return t->dropped & FORM_CACHE_KEY ? NULL : t->cache_key;
}

double conversation_temperature(const struct conversation *t)
{
	if (t->options && t->options->temperature >= 0)
		return t->options->temperature;
	return t->form && !(t->dropped & FORM_SAMPLING) ? t->form->temperature : -1;
}

double conversation_top_p(const struct conversation *t)
{
	if (t->options && t->options->top_p >= 0)
		return t->options->top_p;
	return t->form && !(t->dropped & FORM_SAMPLING) ? t->form->top_p : -1;
}

void conversation_release(struct conversation *t)
{
	free(t->shown);
	free(t->system);
	free(t->continuation);
	json_decref(t->begun);
	json_decref(t->history);
}

void reply_add_call(struct reply *r, const char *id, const char *name, json_t *arguments)
{
	GROW(r->calls, r->calls_n, r->calls_cap);
	r->calls[r->calls_n++] = (struct tool_call){
		.id = xstrdup(id), .name = xstrdup(name), .arguments = json_incref(arguments)};
}

void reply_add_call_text(struct reply *r, const char *id, const char *name, json_t *holder)
{
	static const char member[] = "arguments";
	const json_t *given = json_object_get(holder, member);
	const char *text = json_string_value(given);
	AUTO(json) json_t *read = text	  ? json_foreign(text, json_string_length(given))
				  : given ? json_deep_copy(given)
					  : NULL;
	AUTO(json) json_t *strict = text && read ? json_loads(text, 0, NULL) : NULL;

	reply_add_call(r, id, name, read);
	if (json_is_object(strict))
		return;
	AUTO(json) json_t *kept = json_is_object(read) ? json_incref(read) : json_object();
	AUTO(buf) struct buf out = BUF_INIT;
	if (kept != read && text && *text)
		json_put_strn(kept, "unreadable", text, json_string_length(given));
	else if (kept != read && given && !text)
		json_object_set(kept, "unreadable", (json_t *)given);
	json_format(&out, kept, false);
	json_put_strn(holder, member, out.data, out.len);
}

void reply_add_text(struct buf *out, const json_t *text)
{
	if (!json_is_string(text) || !json_string_length(text))
		return;
	if (out->len)
		buf_addc(out, '\n');
	buf_add(out, json_string_value(text), json_string_length(text));
}

void reply_release(struct reply *r)
{
	for (size_t i = 0; i < r->calls_n; i++) {
		free(r->calls[i].id);
		free(r->calls[i].name);
		json_decref(r->calls[i].arguments);
	}
	free(r->calls);
	free(r->stuck);
	buf_release(&r->text);
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
