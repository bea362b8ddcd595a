/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What every dialect asks of the conversation that it writes down, and how it hands over what it read.
 */
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "model/conversation.h"

enum { FORGET_MIN = 200 }; /* what is shorter than this is not worth a note in its place */

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

json_t *conversation_last_parts(struct conversation *t, const char *type)
{
	json_t *last = json_array_get(t->history, json_array_size(t->history) - 1),
	       *content = json_object_get(last, "content");

	if (json_is_string(content))
		json_put(last, "content", json_pack("[{s:s, s:O}]", "type", type, "text", content));
	return json_object_get(last, "content");
}
