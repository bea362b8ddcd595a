/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-kind.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/text.h"

void agent_end(struct agent_record *out, enum outcome outcome, const char *fmt, ...)
{
	AUTO(buf) struct buf line = BUF_INIT;
	char text[1024];
	size_t n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	text_render(&line, text, text_cut(text, strlen(text)), TEXT_TERMINAL_LINE);
	n = line.len < sizeof out->reason ? line.len : text_cut(line.data, sizeof out->reason - 1);
	memcpy(out->reason, line.data, n);
	out->reason[n] = '\0';
	out->outcome = outcome;
}

int64_t agent_deadline(const struct agent_job *job)
{
	return job->watch ? job->watch->deadline(job->watch->arg) : job->deadline_ms;
}

/* What the plan chose; before there was a choice, what the agent prefers. */
const char *agent_api(const struct attempt *a)
{
	const json_t *apis = json_object_get(a->agent_spec, "apis");
	const char *first = json_string_value(json_array_get(apis, 0));

	return a->trial.api && *a->trial.api ? a->trial.api : first ? first : "";
}

void agent_lay(json_t *spec, const char *key, const json_t *over)
{
	json_t *mine = json_copy(json_object_get(spec, key));

	if (!over) {
		json_decref(mine);
		return;
	}
	if (!mine)
		mine = json_is_array(over) ? json_array() : json_object();
	if (json_is_array(over))
		json_array_extend(mine, (json_t *)over);
	else
		json_object_update(mine, (json_t *)over);
	json_object_set_new(spec, key, mine);
}
