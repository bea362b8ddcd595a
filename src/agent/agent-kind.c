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
