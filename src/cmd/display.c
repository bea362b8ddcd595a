// SPDX-License-Identifier: GPL-3.0-or-later
#include "cmd/display.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/plain.h"

enum {
	SPIN_MS = 100,
	PLAIN_MS = 10000, /* between progress lines where lines stay */
	PLAIN_VERBOSE_MS = 1000,
	BACKLOG_MAX = 4 << 20, /* what a stalled reader is kept; output beyond it is dropped */
};

struct display {
	int fd;
	enum display_mode mode;
	bool tty; /* one that can take back a line */
	bool plain;
	struct buf pending;
	bool transient; /* the spinner's line is the last thing shown */
	bool broken;	/* nobody reads any more */
	bool begun;
	unsigned frame;
	size_t done, total, shown_done;
	size_t failed;		  /* ended with a result, but not as they should */
	struct buf elsewhere;	  /* where trials run elsewhere: how they are */
	char *shown_elsewhere;	  /* what plain lines said of that last */
	int64_t left_ms, next_ms; /* next_ms: of the spinner or the next plain line */
};

struct display *display_new(int fd, enum display_mode mode)
{
	struct display *d = xcalloc(1, sizeof *d);

	d->fd = fd;
	d->mode = mode;
	const char *terminal = getenv("TERM");
	d->tty = isatty(fd) && !(terminal && strcmp(terminal, "dumb") == 0);
	d->plain = mode != DISPLAY_JSON && plain_is_wanted();
	d->pending = d->elsewhere = (struct buf)BUF_INIT;
	d->left_ms = -1;
	return d;
}

static bool has_spinner(const struct display *d)
{
	return d->tty && d->mode == DISPLAY_DEFAULT;
}

static void clear_transient(struct display *d)
{
	if (d->transient)
		buf_adds(&d->pending, "\r\033[K");
	d->transient = false;
}

void display_say(struct display *d, const char *fmt, ...)
{
	va_list args;

	if (d->mode == DISPLAY_JSON)
		return;
	va_start(args, fmt);
	AUTO(free) char *text = xvasprintf(fmt, args);
	va_end(args);
	clear_transient(d);
	buf_adds(&d->pending, "[rollouts] ");
	text_renders(&d->pending, text, TEXT_TERMINAL_LINE);
	buf_addc(&d->pending, '\n');
}

void display_say_quiet(struct display *d)
{
	if (d->mode == DISPLAY_DEFAULT)
		display_say(d, "Running in quiet mode - use -vv for full output");
}

static void add_progress(struct display *d)
{
	char left[16];

	buf_addf(&d->pending, "Running tasks... %zu/%zu completed", d->done, d->total);
	buf_adds(&d->pending, d->elsewhere.data);
	/* An estimate in fractions of a second would only flicker. */
	if (d->left_ms >= 0 && d->left_ms < 60000 && d->done < d->total)
		buf_addf(&d->pending, ", about %ds left", (int)(d->left_ms / 1000) + 1);
	else if (d->left_ms >= 60000) {
		clock_human(d->left_ms, left);
		buf_addf(&d->pending, ", about %s left", left);
	}
	d->shown_done = d->done;
}

/* A line that wraps could not be cleared again. All of it is ASCII but the frame, three bytes of one
 * column. */
static void cut_to_width(struct display *d, size_t start)
{
	struct winsize w;

	if (ioctl(d->fd, TIOCGWINSZ, &w) || w.ws_col < 4)
		return;
	size_t most = start + 2 + w.ws_col - 1;
	if (d->pending.len > most) {
		d->pending.len = most;
		d->pending.data[most] = '\0';
	}
}

static void spin(struct display *d)
{
	static const char *const frames[] = {"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"};

	clear_transient(d);
	size_t start = d->pending.len;
	buf_addf(&d->pending, "%s ", frames[d->frame++ % ARRAY_SIZE(frames)]);
	add_progress(d);
	cut_to_width(d, start);
	d->transient = true;
	d->next_ms = clock_mono_ms() + SPIN_MS;
}

static void plain_progress(struct display *d)
{
	add_progress(d);
	free(d->shown_elsewhere);
	d->shown_elsewhere = xstrdup(d->elsewhere.data);
	buf_addc(&d->pending, '\n');
	d->next_ms = clock_mono_ms() + (d->mode == DISPLAY_DEFAULT ? PLAIN_MS : PLAIN_VERBOSE_MS);
}

static bool has_plain_news(const struct display *d)
{
	return d->done < d->total &&
	       (d->done != d->shown_done || strcmp(d->elsewhere.data, d->shown_elsewhere) != 0);
}

static void show_progress(struct display *d, size_t done, size_t total, int64_t left_ms)
{
	d->done = done;
	d->total = total;
	d->left_ms = left_ms;
	if (d->mode == DISPLAY_JSON)
		return;
	if (has_spinner(d)) {
		if (!d->transient || clock_mono_ms() >= d->next_ms)
			spin(d);
	} else if (!d->begun || (has_plain_news(d) && clock_mono_ms() >= d->next_ms)) {
		plain_progress(d);
	}
	d->begun = true;
}

static void show_end(struct display *d, const struct listener_event *e)
{
	d->failed += !e->ok && !e->missing;
	if (d->mode == DISPLAY_JSON)
		return;
	clear_transient(d);
	if (d->mode != DISPLAY_PROGRESS)
		buf_adds(&d->pending, e->ok ? "✓ " : "✗ ");
	buf_addf(&d->pending, "Task %s %scompleted (%s)", e->run_id, e->cut ? "not " : "",
		 e->status);
	if (!e->ok && *e->text) {
		buf_adds(&d->pending, ": ");
		text_renders(&d->pending, e->text, TEXT_TERMINAL_LINE);
	}
	buf_addc(&d->pending, '\n');
}

void display_run_line(struct display *d, const char *run_id, const char *text, size_t len)
{
	if (d->mode != DISPLAY_FULL || d->pending.len > BACKLOG_MAX)
		return;
	buf_addf(&d->pending, "[%s] ", run_id);
	text_render(&d->pending, text, len, TEXT_TERMINAL_LINE);
	buf_addc(&d->pending, '\n');
}

void display_end(struct display *d, size_t total, size_t missing)
{
	if (d->mode == DISPLAY_JSON)
		return;
	clear_transient(d);
	if (d->mode != DISPLAY_PROGRESS)
		buf_adds(&d->pending, missing || d->failed ? "✗ " : "✓ ");
	if (missing)
		buf_addf(&d->pending, "%zu of %zu task%s completed, %zu missing", total - missing,
			 total, total == 1 ? "" : "s", missing);
	else
		buf_addf(&d->pending, "All %zu task%s completed", total, total == 1 ? "" : "s");
	if (d->failed)
		buf_addf(&d->pending, ", %zu failed\n", d->failed);
	else
		buf_adds(&d->pending, missing ? "\n" : "!\n");
	d->begun = false;
}

/* Up to PIPE_BUF bytes never block once there is room at all. */
static void write_out(struct display *d, int wait_ms)
{
	size_t done = 0;

	if (d->plain) {
		AUTO(buf) struct buf utf8 = d->pending;
		d->pending = (struct buf)BUF_INIT;
		plain_text(&d->pending, utf8.data, utf8.len);
	}
	while (!d->broken && done < d->pending.len) {
		struct pollfd p = {.fd = d->fd, .events = POLLOUT};
		size_t n = d->pending.len - done < PIPE_BUF ? d->pending.len - done : PIPE_BUF;
		if (poll(&p, 1, wait_ms) <= 0)
			break;
		ssize_t w = write(d->fd, d->pending.data + done, n);
		if (w < 0 && errno != EINTR && errno != EAGAIN)
			d->broken = true;
		done += w > 0 ? (size_t)w : 0;
	}
	if (d->broken)
		done = d->pending.len;
	d->pending.len -= done;
	memmove(d->pending.data, d->pending.data + done, d->pending.len);
	if (d->pending.cap)
		d->pending.data[d->pending.len] = '\0';
}

void display_flush(struct display *d)
{
	if (d->pending.len)
		write_out(d, 0);
}

static void add_count(struct buf *out, const char **between, size_t n, const char *what)
{
	if (!n)
		return;
	buf_addf(out, "%s%zu %s", *between, n, what);
	*between = ", ";
}

/* ", slurm: 3 queued, 2 starting, 5 running, 10 done" */
static void note_sites(struct display *d, const struct listener_event *e)
{
	buf_reset(&d->elsewhere);
	for (size_t i = 0; i < e->sites_n; i++) {
		const struct listener_site *site = &e->sites[i];
		const char *between = " ";
		buf_addf(&d->elsewhere, "%s %s:", i ? ";" : ",", site->name);
		add_count(&d->elsewhere, &between, site->queued, "queued");
		add_count(&d->elsewhere, &between, site->starting, "starting");
		add_count(&d->elsewhere, &between, site->running, "running");
		buf_addf(&d->elsewhere, "%s%zu done", between, site->done);
	}
}

static void tell(void *arg, const struct listener_event *e)
{
	struct display *d = arg;

	switch (e->kind) {
	case LISTENER_REMARK:
		display_say(d, "%s", e->text);
		break;
	case LISTENER_OUTPUT:
		display_run_line(d, e->run_id, e->text, e->len);
		break;
	case LISTENER_ENDED:
		show_end(d, e);
		break;
	case LISTENER_JOURNAL:
		if (d->mode == DISPLAY_JSON)
			buf_add(&d->pending, e->text, e->len);
		break;
	case LISTENER_TURN:
		if (e->total) {
			note_sites(d, e);
			show_progress(d, e->done, e->total, e->left_ms);
		}
		display_flush(d);
		break;
	}
}

static int64_t due(void *arg)
{
	const struct display *d = arg;

	return d->begun && has_spinner(d) ? d->next_ms : -1;
}

struct listener display_listener(struct display *d)
{
	return (struct listener){tell, due, d, d->mode == DISPLAY_FULL};
}

void display_free(struct display *d)
{
	enum { PATIENCE_MS = 60000 };

	clear_transient(d);
	write_out(d, PATIENCE_MS);
	buf_release(&d->pending);
	buf_release(&d->elsewhere);
	free(d->shown_elsewhere);
	free(d);
}
