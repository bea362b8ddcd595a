/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "gateway/internal.h"

enum {
	TOTALS_MS = 200,
	NOTES = 40,	  /* at once; what agents and providers do may cause any number */
	NOTES_MS = 30000, /* and as many again after this long */
};

static void write_event(const json_t *event)
{
	AUTO(buf) struct buf line = BUF_INIT;

	json_format(&line, event, false);
	buf_addc(&line, '\n');
	for (size_t at = 0; at < line.len;) {
		ssize_t n = write(STDOUT_FILENO, line.data + at, line.len - at);
		if (n < 0 && errno != EINTR)
			return; /* nobody listens; standard input will say so */
		at += n > 0 ? (size_t)n : 0;
	}
}

void events_say(const char *event, const char *text)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "event", event);
	if (text)
		json_put_str(j, "text", text);
	write_event(j);
}

void events_note(struct gateway *gw, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (gw->notes_said == NOTES) {
		gw->notes_unsaid++;
		return;
	}
	if (!gw->notes_said++)
		loop_set(gw->loop, &gw->notes_timer, loop_now_ms(gw->loop) + NOTES_MS);
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	events_say("note", text);
}

void events_totals(struct gateway *gw)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "event", "totals");
	json_put_int(j, "calls", gw->calls_made);
	json_put_int(j, "tokens", gw->tokens);
	json_put(j, "usd",
		 gw->calls_made && gw->unpriced == gw->calls_made ? json_null()
								  : json_real(gw->usd));
	json_put_int(j, "unpriced_calls", gw->unpriced);
	json_put_int(j, "waiting", gw->waiting);
	write_event(j);
}

static void totals_due(void *ctx)
{
	struct gateway *gw = ctx;
	struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
	int64_t now[4] = {gw->calls_made, gw->tokens, gw->unpriced, gw->waiting};

	if (memcmp(now, gw->told, sizeof now) == 0)
		return;
	if (poll(&p, 1, 0) != 1) { /* a parent that is busy must not stop the agents */
		loop_set(gw->loop, &gw->totals_timer, loop_now_ms(gw->loop) + TOTALS_MS);
		return;
	}
	gw->totals_ms = loop_now_ms(gw->loop);
	memcpy(gw->told, now, sizeof now);
	events_totals(gw);
}

void events_changed(struct gateway *gw)
{
	int64_t now = loop_now_ms(gw->loop);

	if (!gw->totals_timer.slot)
		loop_set(gw->loop, &gw->totals_timer,
			 gw->totals_ms + TOTALS_MS > now ? gw->totals_ms + TOTALS_MS : now);
}

static void notes_due(void *ctx)
{
	struct gateway *gw = ctx;
	const int unsaid = gw->notes_unsaid;

	gw->notes_said = gw->notes_unsaid = 0;
	if (unsaid)
		events_note(gw, "%d more notes were left out", unsaid);
}

void events_open(struct gateway *gw)
{
	gw->notes_timer = (struct loop_timer){.fire = notes_due, .ctx = gw};
	gw->totals_timer = (struct loop_timer){.fire = totals_due, .ctx = gw};
}
