/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/work.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/event.h"

json_t *work_event(const char *name)
{
	json_t *e = json_object();

	json_put_str(e, "event", name);
	return e;
}

void work_say(struct work *w, json_t *event_take)
{
	event_add(&w->events, event_take);
	/* Such a trial is over before anybody could act on its first words: one wake-up for all of them. */
	if (w->attempt.trial.sandbox != SANDBOX_NONE)
		event_send(w->event_fd, &w->events);
}

static void end_phase(struct work *w)
{
	if (!w->phase)
		return;
	result_add_phase(&w->result, w->phase, clock_mono_ms() - w->phase_start_ms);
	w->phase = NULL;
}

void work_phase(struct work *w, const char *phase, int64_t deadline_ms)
{
	json_t *e = work_event(EVENT_PHASE);

	end_phase(w);
	w->phase = phase;
	w->phase_start_ms = clock_mono_ms();
	json_put_str(e, "phase", phase);
	json_put_int(e, "deadline_ms", deadline_ms);
	work_say(w, e);
}

static void add_output(struct work *w, int stream, const char *data, size_t n)
{
	json_t *e = work_event(EVENT_OUTPUT);

	json_put_str(e, "stream", stream == 2 ? "stderr" : "stdout");
	json_put_strn(e, "text", data, n);
	event_add(&w->events, e);
}

/* Only told so that somebody can watch, and in the logs anyway: nothing waits for a reader that does not read, least of
 * all a deadline. */
void work_output(void *arg, int stream, const char *data, size_t n)
{
	enum { UNREAD_MAX = 1 << 20 };
	struct work *w = arg;
	AUTO(free) char *note = NULL;

	event_try_send(w->event_fd, &w->events);
	if (w->events.len > UNREAD_MAX) {
		w->unread += n;
		return;
	}
	if (w->unread) {
		note = xasprintf("\n[%zu bytes that nobody read in time: see the logs]\n",
				 w->unread);
		add_output(w, stream, note, strlen(note));
		w->unread = 0;
	}
	add_output(w, stream, data, n);
	event_try_send(w->event_fd, &w->events);
}

void work_end_agent(struct work *w, enum outcome outcome, const char *why, const char *text)
{
	AUTO(buf) struct buf line = BUF_INIT;
	char *reason = w->result.agent.reason;
	size_t size = sizeof w->result.agent.reason;

	buf_adds(&line, why);
	text_renders(&line, text, TEXT_TERMINAL_LINE);
	size_t keep = line.len < size ? line.len : text_cut(line.data, size - 1);
	memcpy(reason, line.data, keep);
	reason[keep] = '\0';
	w->result.agent.outcome = outcome;
}
