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

void driver_say_failed(const char *token, const char *why)
{
	json_t *m = json_object();

	json_put_str(m, "event", "submitted");
	json_put_str(m, "token", token);
	json_put_str(m, "error", why);
	driver_say(m);
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
