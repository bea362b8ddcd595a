/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/bash-talk.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

enum { FORGET_MIN = 200 }; /* what is shorter than this is not worth a note in its place */

const struct bash_dialect *bash_dialect_find(const char *api)
{
	static const struct bash_dialect *const all[] = {&bash_responses, &bash_chat,
							 &bash_anthropic, &bash_gemini};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (strcmp(all[i]->api, api) == 0)
			return all[i];
	return NULL;
}

void bash_talk_show(struct bash_talk *t, json_t *holder, const char *member, const struct buf *text)
{
	json_put_strn(holder, member, text->data, text->len);
	if (text->len < FORGET_MIN)
		return;
	GROW(t->shown, t->shown_n, t->shown_cap);
	t->shown[t->shown_n++] = (struct bash_shown){holder, member};
}

static size_t forget_one(const struct bash_shown *s)
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

size_t bash_talk_forget(struct bash_talk *t)
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
	return n;
}

void bash_talk_release(struct bash_talk *t)
{
	free(t->shown);
	free(t->system);
	json_decref(t->history);
}

const char *bash_tool_description(void)
{
	return "Run one command in a fresh bash process, in the repository. Returns its output, "
	       "standard "
	       "error included, and its exit status.";
}

json_t *bash_tool_schema(void)
{
	return json_pack("{s:s, s:{s:{s:s, s:s}}, s:[s]}", "type", "object", "properties",
			 "command", "type", "string", "description", "what bash -c is to run",
			 "required", "command");
}

static struct bash_call *new_call(struct bash_reply *r, const char *id, const char *name)
{
	GROW(r->calls, r->calls_n, r->calls_cap);
	struct bash_call *c = &r->calls[r->calls_n++];
	*c = (struct bash_call){.id = xstrdup(id ? id : ""), .name = xstrdup(name ? name : "")};
	return c;
}

void bash_reply_call(struct bash_reply *r, const char *id, const char *name,
		     const json_t *arguments)
{
	struct bash_call *c = new_call(r, id, name);
	const json_t *command = json_object_get(arguments, "command");

	if (strcmp(c->name, BASH_TOOL) != 0)
		c->problem = "there is no such tool: bash is the only one";
	else if (!json_is_object(arguments))
		c->problem = "the arguments are no JSON object with a command";
	else if (!json_is_string(command))
		c->problem = "the arguments lack \"command\", a string";
	else if (strlen(json_string_value(command)) != json_string_length(command))
		c->problem = "the command holds a NUL character";
	else
		c->command = xstrdup(json_string_value(command));
}

void bash_reply_call_text(struct bash_reply *r, const char *id, const char *name,
			  const char *arguments)
{
	AUTO(json) json_t *j = arguments ? json_loads(arguments, JSON_ALLOW_NUL, NULL) : NULL;

	bash_reply_call(r, id, name, j);
}

void bash_reply_release(struct bash_reply *r)
{
	for (size_t i = 0; i < r->calls_n; i++) {
		free(r->calls[i].id);
		free(r->calls[i].name);
		free(r->calls[i].command);
	}
	free(r->calls);
	free(r->stuck);
	buf_release(&r->text);
}

void bash_add_text(struct buf *out, const json_t *text)
{
	if (!json_is_string(text) || !json_string_length(text))
		return;
	if (out->len)
		buf_addc(out, '\n');
	buf_add(out, json_string_value(text), json_string_length(text));
}
