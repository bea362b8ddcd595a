/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/driver.h"
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/event.h"

void driver_say(json_t *message_take)
{
	AUTO(buf) struct buf line = BUF_INIT;

	event_add(&line, message_take);
	event_send(STDOUT_FILENO, &line);
}

void driver_note(const char *fmt, ...)
{
	json_t *m = json_object();
	va_list ap;

	va_start(ap, fmt);
	AUTO(free) char *text = xvasprintf(fmt, ap);
	va_end(ap);
	json_put_str(m, "event", "note");
	json_put_str(m, "text", text);
	driver_say(m);
}

void driver_refuse(const char *text, bool fault)
{
	json_t *m = json_object();

	json_put_str(m, "event", "refused");
	json_put_str(m, "text", text);
	json_put_bool(m, "fault", fault);
	driver_say(m);
}

void driver_say_hello(const char *files, int64_t batch, int64_t poll_ms)
{
	json_t *m = json_object();

	json_put_str(m, "event", "hello");
	json_put_int(m, "v", 1);
	json_put_str(m, "files", files);
	json_put_bool(m, "attach", true);
	json_put_int(m, "batch", batch);
	json_put_int(m, "poll_ms", poll_ms);
	driver_say(m);
}

void driver_say_polled(void)
{
	json_t *m = json_object();

	json_put_str(m, "event", "polled");
	driver_say(m);
}

static json_t *about(const char *token, const char *event, const char *key, const char *value)
{
	json_t *m = json_object();

	json_put_str(m, "event", event);
	json_put_str(m, "token", token);
	json_put_str(m, key, value);
	return m;
}

void driver_say_submitted(const char *token, const char *job)
{
	driver_say(about(token, "submitted", "job", job));
}

void driver_say_failed(const char *token, const char *why)
{
	driver_say(about(token, "submitted", "error", why));
}

void driver_say_unknown(const char *token, const char *why)
{
	json_t *m = about(token, "submitted", "error", why);

	json_put_bool(m, "unknown", true);
	driver_say(m);
}

json_t *driver_ended(const char *token, const char *how, bool stopped, bool committed)
{
	json_t *m = about(token, "ended", "how", how);

	if (stopped) {
		json_put_bool(m, "stopped", true);
		json_put_bool(m, "committed", committed);
	}
	return m;
}

json_t *driver_lists_of(const json_t *jobs, int64_t per_job)
{
	json_t *lists = json_array(), *list = NULL, *job;
	size_t i;

	json_array_foreach (jobs, i, job) {
		if (i % (size_t)per_job == 0)
			json_array_append_new(lists, list = json_array());
		json_array_append(list, json_object_get(job, "dir"));
	}
	return lists;
}
