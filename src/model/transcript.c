/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The dialects differ in where things stand, hardly in what they are called: one walk over the names that any of
 * them uses finds roles, texts, tool calls and their results in requests and answers alike.
 */
#include "model/transcript.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"
#include "model/answer-stream.h"
#include "model/recording.h"
#include "model/request-chain.h"

enum {
	TEXT_MAX = 8000, /* of one message: a tool's output may be megabytes */
	DEPTH_MAX = 12,
};

static void add(struct strv *to, const char *role, const char *text)
{
	if (*text)
		strv_pushf(to, "%s\n%s", role, text);
}

/* A call's arguments: text that is JSON already, or JSON. */
static void add_call(struct strv *to, const json_t *call)
{
	static const char *const names[] = {"arguments", "input", "args", NULL};
	AUTO(buf) struct buf text = BUF_INIT;

	buf_addf(&text, "%s ", json_get_str(call, "name", "?"));
	for (size_t i = 0; names[i]; i++) {
		const json_t *v = json_object_get(call, names[i]);
		if (json_is_string(v))
			buf_adds(&text, json_string_value(v));
		else if (v)
			json_format(&text, v, false);
	}
	add(to, "tool call", text.data);
}

static void walk(struct strv *to, const char *role, const json_t *j, int depth);

static bool is_type(const json_t *j, const char *type)
{
	return strcmp(json_get_str(j, "type", ""), type) == 0;
}

static bool walk_tool(struct strv *to, const json_t *j, int depth)
{
	const json_t *v;

	if (is_type(j, "tool_use") || is_type(j, "function_call") || is_type(j, "custom_tool_call"))
		add_call(to, j);
	else if ((v = json_object_get(j, "functionCall")))
		add_call(to, v);
	else if ((v = json_object_get(j, "functionResponse")))
		walk(to, "tool result", json_object_get(v, "response"), depth);
	else if (is_type(j, "tool_result"))
		walk(to, "tool result", json_object_get(j, "content"), depth);
	else if ((v = json_object_get(j, "output")) && json_object_get(j, "call_id"))
		walk(to, "tool result", v, depth);
	else
		return false;
	return true;
}

static void walk_object(struct strv *to, const char *role, const json_t *j, int depth)
{
	static const char *const inner[] = {"content", "parts", "summary", "output",
					    "result",  "error", "message"};
	const json_t *call;
	size_t i;
	json_t *v;

	if (walk_tool(to, j, depth))
		return;
	role = json_get_str(j, "role", role);
	if (is_type(j, "reasoning") || is_type(j, "thinking") || json_get_bool(j, "thought", false))
		role = "thinking";
	if (!strcmp(role, "tool"))
		role = "tool result";
	if (json_is_string(json_object_get(j, "text")))
		add(to, role, json_get_str(j, "text", ""));
	add(to, role, json_get_str(j, "thinking", ""));
	for (i = 0; i < ARRAY_SIZE(inner); i++)
		if ((v = json_object_get(j, inner[i])))
			walk(to, role, v, depth);
	json_array_foreach (json_object_get(j, "tool_calls"), i, v)
		if ((call = json_object_get(v, "function")))
			add_call(to, call);
}

static void walk(struct strv *to, const char *role, const json_t *j, int depth)
{
	size_t i;
	json_t *v;

	if (!j || depth > DEPTH_MAX)
		return;
	if (json_is_string(j))
		add(to, role, json_string_value(j));
	else if (json_is_object(j))
		walk_object(to, role, j, depth + 1);
	else
		json_array_foreach (j, i, v)
			walk(to, role, v, depth + 1);
}

static void messages_of(struct strv *to, const json_t *request)
{
	static const struct {
		const char *key, *role;
	} parts[] = {
		{"system", "system"}, {"instructions", "system"}, {"systemInstruction", "system"},
		{"messages", "user"}, {"input", "user"},	  {"contents", "user"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		walk(to, parts[i].role, json_object_get(request, parts[i].key), 0);
}

static void answer_of(struct strv *to, const json_t *j)
{
	size_t i;
	json_t *v;

	const json_t *error = json_object_get(j, "error");

	if (error && !json_is_null(error)) {
		walk(to, "error", error, 0);
		return;
	}
	json_array_foreach (json_object_get(j, "choices"), i, v)
		walk(to, "assistant", json_object_get(v, "message"), 0);
	json_array_foreach (json_object_get(j, "candidates"), i, v)
		walk(to, "model", json_object_get(v, "content"), 0);
	walk(to, "assistant", json_object_get(j, "output"), 0);
	walk(to, "assistant", json_object_get(j, "content"), 0);
}

struct telling {
	struct buf *out;
	struct strv shown;  /* the messages of the last request */
	struct strv answer; /* to it, not yet shown: the next request will mostly repeat it */
	struct buf body;    /* of the answer that is coming */
	bool events;
	size_t calls;
	struct request_chain requests;
};

static void tell(struct telling *t, const char *message)
{
	size_t role = strcspn(message, "\n"), n = strlen(message + role + 1);
	const char *text = message + role + 1;
	size_t keep = n > TEXT_MAX ? text_cut(text, TEXT_MAX) : n;

	buf_addf(t->out, "[%.*s]\n", (int)role, message);
	buf_add(t->out, text, keep);
	if (keep < n)
		buf_addf(t->out, "\n[... %zu bytes more]", n - keep);
	buf_adds(t->out, "\n\n");
}

static void tell_answer(struct telling *t)
{
	for (size_t i = 0; i < t->answer.n; i++)
		tell(t, t->answer.v[i]);
	strv_release(&t->answer);
}

static int take_request(struct telling *t, const struct recording_frame *f, const char *data,
			size_t n, struct err *err)
{
	struct strv messages = STRV_INIT;
	size_t same = 0;

	const struct buf *whole = request_chain_join(&t->requests, f->call, &f->part, data, n);
	if (!whole)
		return err_set(err, ERR_USAGE, 0,
			       "the recording is damaged: call %lld has no request",
			       (long long)f->call);
	AUTO(json) json_t *j = json_foreign(whole->data, whole->len);
	messages_of(&messages, j);
	while (same < messages.n && same < t->shown.n &&
	       !strcmp(messages.v[same], t->shown.v[same]))
		same++;
	if (same < t->shown.n || same == messages.n) {
		tell_answer(t);
		if (t->calls)
			buf_adds(t->out, "--- another conversation ---\n\n");
		same = 0;
	}
	strv_release(&t->answer);
	for (size_t i = same; i < messages.n; i++)
		tell(t, messages.v[i]);
	strv_release(&t->shown);
	t->shown = messages;
	t->calls++;
	return 0;
}

static void take_end(struct telling *t)
{
	AUTO(json) json_t *j = NULL;

	strv_release(&t->answer);
	j = t->events ? answer_join(&t->body, NULL) : json_foreign(t->body.data, t->body.len);
	if (j)
		answer_of(&t->answer, j);
	buf_reset(&t->body);
}

static int take_frame(struct telling *t, const struct recording_frame *f, const char *data,
		      size_t n, struct err *err)
{
	switch (f->kind) {
	case FRAME_REQUEST:
		return take_request(t, f, data, n, err);
	case FRAME_HEAD:
		t->events = f->events;
		break;
	case FRAME_BODY:
		buf_add(&t->body, data, n);
		break;
	case FRAME_END:
		take_end(t);
		break;
	}
	return 0;
}

static int take_all(struct telling *t, const struct buf *recording, struct err *err)
{
	struct recording_reader r = {.fd = -1, .text = recording};
	struct recording_frame f;
	int got;

	while ((got = recording_read(&r, &f, err)) > 0)
		if ((got = take_frame(t, &f, recording->data + f.at, (size_t)f.bytes, err)))
			break;
	recording_release(&r);
	return got;
}

int transcript_make(struct buf *out, const struct buf *recording, struct err *err)
{
	struct telling t = {.out = out, .body = BUF_INIT};
	int rc = take_all(&t, recording, err);

	if (t.body.len)
		take_end(&t);
	tell_answer(&t);
	strv_release(&t.shown);
	strv_release(&t.answer);
	buf_release(&t.body);
	request_chain_release(&t.requests);
	return rc;
}
