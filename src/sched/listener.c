// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/listener.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/err.h"
#include "base/mem.h"

void listener_tell(const struct listener *to, const struct listener_event *e)
{
	if (to)
		to->tell(to->arg, e);
}

void listener_say(const struct listener *to, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	AUTO(free) char *text = xvasprintf(fmt, args);
	va_end(args);
	listener_tell(to, &(struct listener_event){
				  .kind = LISTENER_REMARK, .text = text, .len = strlen(text)});
}

void listener_output(const struct listener *to, const char *run_id, const char *text, size_t len)
{
	if (to && to->wants_output)
		listener_tell(to, &(struct listener_event){.kind = LISTENER_OUTPUT,
							   .run_id = run_id,
							   .text = text,
							   .len = len});
}
