/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <signal.h>
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

enum { DOCUMENT_MAX = 16 << 20, CONNECTIONS = 4096 };

static void tick(void *ctx)
{
	struct gateway *gw = ctx;

	for (struct call *c = gw->calls; c; c = c->next) {
		if (c->agent.suspended)
			front_watch(c);
		call_tick(c);
	}
	if (gw->calls)
		call_tick_soon(gw);
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
	workers_tell(gw);
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
	events_open(gw);
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
		renew_free_all(gw);
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
		events_say("ready", NULL);
		failed = loop_run(gw.loop, before_wait, &gw, &err);
	}
	if (failed)
		events_say("fatal", err.msg);
	else if (gw.calls_made)
		events_totals(&gw);
	stop(&gw);
	return failed ? err.kind == ERR_USAGE ? 2 : 3 : 0;
}
