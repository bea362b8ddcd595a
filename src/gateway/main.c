/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "gatewaylink/gateway.h"
#include "gateway/internal.h"

enum { TICK_MS = 50, TOTALS_MS = 200, DOCUMENT_MAX = 16 << 20, CONNECTIONS = 4096 };

/* --- what is said to the parent ------------------------------------------------------------------- */

static void say(const json_t *event)
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

static void say_text(const char *event, const char *text)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "event", event);
	if (text)
		json_put_str(j, "text", text);
	say(j);
}

void gateway_note(struct gateway *gw, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	say_text("note", text);
}

static void say_totals(struct gateway *gw)
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
	say(j);
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
	say_totals(gw);
}

void gateway_changed(struct gateway *gw)
{
	int64_t now = loop_now_ms(gw->loop);

	if (!gw->totals_timer.slot)
		loop_set(gw->loop, &gw->totals_timer,
			 gw->totals_ms + TOTALS_MS > now ? gw->totals_ms + TOTALS_MS : now);
}

double gateway_random(struct gateway *gw)
{
	gw->random ^= gw->random << 13;
	gw->random ^= gw->random >> 7;
	gw->random ^= gw->random << 17;
	return (double)(gw->random >> 11) / (double)(1ull << 53);
}

/* --- the loop ------------------------------------------------------------------------------------- */

static void tick(void *ctx)
{
	struct gateway *gw = ctx;

	for (struct call *c = gw->calls; c; c = c->next) {
		if (c->agent.suspended)
			front_watch(c);
		call_tick(c);
	}
	if (gw->calls)
		loop_set(gw->loop, &gw->tick_timer, loop_now_ms(gw->loop) + TICK_MS);
}

void gateway_call_comes(struct gateway *gw)
{
	if (!gw->tick_timer.slot)
		loop_set(gw->loop, &gw->tick_timer, loop_now_ms(gw->loop) + TICK_MS);
}

static void wake_calls(struct gateway *gw)
{
	struct call *c;

	while ((c = gw->todo)) {
		gw->todo = c->todo_next;
		c->on_todo = false;
		if (c->try.paused && c->answer.out.len - c->answer.out_at <= OUT_LOW)
			upstream_go_on(c);
		front_resume(c);
	}
}

/* In this order: an agent gets the end of its answer after its worker was told of the call, and nobody waits
 * for a file to be written. */
static bool before_wait(void *ctx)
{
	struct gateway *gw = ctx;

	http_client_reap(gw->client);
	wake_calls(gw);
	accounts_tell(gw);
	bool more = front_run(gw);
	http_client_push(gw->client);
	accounts_write(gw);
	return more || gw->todo || http_client_has_news(gw->client);
}

static void stdin_ready(void *ctx, uint32_t events)
{
	struct gateway *gw = ctx;
	char drop[256];

	ssize_t n = read(STDIN_FILENO, drop, sizeof drop);
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		loop_stop(gw->loop);
}

static size_t read_some(void *data, size_t max, void *ctx)
{
	size_t *left = ctx;
	ssize_t n;

	if (max > *left)
		max = *left;
	while ((n = read(STDIN_FILENO, data, max)) < 0 && errno == EINTR)
		;
	*left -= n > 0 ? (size_t)n : 0;
	return n < 0 ? (size_t)-1 : (size_t)n;
}

/* It ends with its last brace: the descriptor stays open behind it. */
static int read_setup(struct setup *out, struct err *err)
{
	size_t left = DOCUMENT_MAX;
	json_error_t why;
	AUTO(json) json_t *j = json_load_callback(
		read_some, &left, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES, &why);

	if (!j) /* jansson's own words would show what is near the fault, and that may be a key */
		return err_set(
			err, ERR_USAGE, 0,
			"the document on standard input is not valid JSON, line %d column %d",
			why.line, why.column);
	return setup_read(out, j, err);
}

static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN); /* of the terminal: the parent decides */
#ifndef __SANITIZE_ADDRESS__
	prctl(PR_SET_DUMPABLE, 0); /* keys: no core, no look from outside */
#endif
}

static int start(struct gateway *gw, struct err *err)
{
	if (read_setup(&gw->doc, err) || loop_new(&gw->loop, err) ||
	    http_client_new(&gw->client, gw->loop, CONNECTIONS, upstream_done, err))
		return -1;
	if (getrandom(&gw->random, sizeof gw->random, 0) < 0 || !gw->random)
		gw->random = 88172645463325252u;
	gw->tick_timer = (struct loop_timer){.fire = tick, .ctx = gw};
	gw->totals_timer = (struct loop_timer){.fire = totals_due, .ctx = gw};
	gw->stdin_watch = (struct loop_watch){.fd = STDIN_FILENO, .ready = stdin_ready, .ctx = gw};
	if (loop_watch(gw->loop, &gw->stdin_watch, EPOLLIN, err))
		return err_wrap(err, "standard input must be a pipe or a socket");
	if (front_open(gw, err))
		return -1;
	return gw->doc.control ? workers_open(gw, err) : 0;
}

static void stop(struct gateway *gw)
{
	if (gw->loop) {
		front_close(gw);
		workers_close(gw);
		upstream_free_all(gw);
		http_client_free(gw->client);
		queue_free_all(gw);
	}
	loop_free(gw->loop);
	setup_release(&gw->doc);
}

int main(int argc, char **argv)
{
	struct gateway gw = {0};
	struct err err;

	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("rollouts-gateway " ROLLOUTS_VERSION);
		return 0;
	}
	if (argc != 1) {
		fputs("usage: rollouts-gateway   (started by `rollouts run` and `rollouts "
		      "gateway`, not by hand)\n",
		      stderr);
		return 2;
	}
	raise_limits();
	int failed = start(&gw, &err);
	if (!failed) {
		say_text("ready", NULL);
		failed = loop_run(gw.loop, before_wait, &gw, &err);
	}
	if (failed)
		say_text("fatal", err.msg);
	else if (gw.calls_made)
		say_totals(&gw);
	stop(&gw);
	return failed ? err.kind == ERR_USAGE ? 2 : 3 : 0;
}
