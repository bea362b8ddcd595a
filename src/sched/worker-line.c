// SPDX-License-Identifier: GPL-3.0-or-later
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/event.h"
#include "core/result.h"
#include "sched/internal.h"

enum { PARTIAL_MAX = 64 << 10 };

static void on_phase(struct sched *s, struct job *job, const json_t *j)
{
	int64_t within = json_get_int(j, "deadline_ms", 0);
	const char *phase = json_get_str(j, "phase", "");
	char line[80];
	json_t *fields = json_object();

	snprintf(job->phase, sizeof job->phase, "%s", phase);
	job->deadline_ms = within > 0 ? clock_mono_ms() + within + clock_grace_ms(GRACE_MS) : 0;
	json_put_str(fields, "phase", phase);
	if (job->named_ms) {
		char text[16];
		json_put_int(fields, "queued_ms", clock_mono_ms() - job->named_ms);
		clock_human(clock_mono_ms() - job->named_ms, text);
		snprintf(line, sizeof line, "began after %s in the queue of %.20s", text,
			 job->site->name);
		listener_output(s->o->listener, sched_trial(s, job->item)->run_id, line,
				strlen(line));
		job->named_ms = 0;
	}
	job->begun = true;
	json_put_int(fields, "deadline_ms", within);
	progress_apply(sched_progress(s, job->item), EVENT_PHASE, job->attempt, fields);
	journal_add(s->o->journal, EVENT_PHASE, sched_trial(s, job->item), job->attempt, fields);
	snprintf(line, sizeof line, "phase %s", phase);
	listener_output(s->o->listener, sched_trial(s, job->item)->run_id, line, strlen(line));
}

static void on_note(struct sched *s, struct job *job, const json_t *j)
{
	const char *text = json_get_str(j, "text", "");
	json_t *fields = json_object();

	json_put_str(fields, "text", text);
	if (!strcmp(json_get_str(j, "cause", ""), CAUSE_NO_ROOM) && disk_refused(&s->disk))
		listener_say(s->o->listener, "%s: %s", sched_trial(s, job->item)->run_id, text);
	journal_add(s->o->journal, EVENT_NOTE, sched_trial(s, job->item), job->attempt, fields);
	listener_output(s->o->listener, sched_trial(s, job->item)->run_id, text, strlen(text));
}

static void on_agent_done(struct sched *s, struct job *job, const json_t *j)
{
	/* On another machine it lies where it may be lost: it counts once its files are here (finish.c). */
	if (job->site->launcher->attach)
		return;
	json_t *fields = json_object();

	json_put_str(fields, "digest", json_get_str(j, "digest", ""));
	json_put_str(fields, "outcome", json_get_str(j, "outcome", ""));
	progress_apply(sched_progress(s, job->item), EVENT_AGENT_DONE, job->attempt, fields);
	journal_add(s->o->journal, EVENT_AGENT_DONE, sched_trial(s, job->item), job->attempt,
		    fields);
}

static void on_output(struct sched *s, struct job *job, const json_t *j)
{
	struct buf *line = &job->partial[!strcmp(json_get_str(j, "stream", ""), "stderr")];
	const char *run_id = sched_trial(s, job->item)->run_id, *text = json_get_str(j, "text", "");

	for (size_t n; *text; text += n) {
		n = strcspn(text, "\n");
		buf_add(line, text, n);
		if (!text[n] && line->len < PARTIAL_MAX)
			return;
		listener_output(s->o->listener, run_id, line->data, line->len);
		buf_reset(line);
		n += text[n] == '\n';
	}
}

void worker_line(struct sched *s, struct job *job, const char *line, size_t len)
{
	static const struct {
		const char *event;
		void (*take)(struct sched *s, struct job *job, const json_t *j);
	} table[] = {
		{EVENT_PHASE, on_phase},
		{EVENT_NOTE, on_note},
		{EVENT_AGENT_DONE, on_agent_done},
		{EVENT_OUTPUT, on_output},
	};
	AUTO(json) json_t *j = json_loadb(line, len, 0, NULL);
	const char *event = json_get_str(j, "event", "");
	const struct sched_hook *hook = s->o->hook;

	if (hook && hook->heard && (!strcmp(event, EVENT_PHASE) || !strcmp(event, EVENT_SPENDING)))
		hook->heard(hook->arg, s->items[job->item].item.index, event, j);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(event, table[i].event))
			table[i].take(s, job, j);
}
