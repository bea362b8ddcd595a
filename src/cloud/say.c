/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cloud/batch.h"
#include "core/event.h"

void say(json_t *message_take)
{
	AUTO(buf) struct buf line = BUF_INIT;

	event_add(&line, message_take);
	event_send(STDOUT_FILENO, &line);
}

void say_note(const char *fmt, ...)
{
	json_t *m = json_object();
	va_list ap;

	va_start(ap, fmt);
	AUTO(free) char *text = xvasprintf(fmt, ap);
	va_end(ap);
	json_put_str(m, "event", "note");
	json_put_str(m, "text", text);
	say(m);
}

void say_submitted(const struct array *a, const struct task *t, const struct trial_ref *r)
{
	AUTO(free) char *child = array_child(a, t);
	AUTO(free) char *name = xasprintf("%s@%s", child, a->name);
	json_t *m = json_object();

	json_put_str(m, "event", "submitted");
	json_put_str(m, "token", r->token);
	json_put_str(m, "job", name);
	say(m);
}

void say_failed(const char *token, const char *why)
{
	json_t *m = json_object();

	json_put_str(m, "event", "submitted");
	json_put_str(m, "token", token);
	json_put_str(m, "error", why);
	say(m);
}

void say_ended(struct batch *b, struct trial_ref *r, const char *how, bool has_result)
{
	json_t *m = json_object();

	r->ended = true;
	if (!r->attached)
		return json_decref(m);
	json_put_str(m, "event", "ended");
	json_put_str(m, "token", r->token);
	json_put_str(m, "how", how);
	if (r->stopped) {
		json_put_bool(m, "stopped", true);
		json_put_bool(m, "committed", r->committed);
	}
	if (has_result)
		json_put_bool(m, "result", true);
	say(m);
}
