/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Keys that do not last: of a provider whose key is what a command prints, the command runs again when the key is refused and
 * shortly before its time is over. It runs once for all who wait, and nothing goes to the provider meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gateway/internal.h"
#include "os/fdio.h"
#include "os/spawn.h"

enum {
	COMMAND_MS = 60000,
	KEY_MAX = 8192,
	TRIES = 5,	     /* a token is not to be had for a moment around its hour, at times */
	EARLY_MS = 60000,    /* before its time is over, or a tenth of that time */
	GIVEN_UP_MS = 60000, /* a command that failed is not run again for so long */
};

struct renewal {
	struct renewal *next;
	struct gateway *gw;
	const struct upstream *provider;
	struct kept_key {
		struct kept_key *older; /* calls under way still have it */
		struct provider_key key;
	} * first;
	const struct provider_key *key; /* that is good now */
	bool proven;			/* something was answered with it */
	int64_t got_ms;			/* when: clock_wall_ms */
	int64_t failed_ms;		/* the command failed, for good: clock_wall_ms; 0: no */
	bool busy;
	int tries;
	struct child child;
	int out;
	struct loop_watch watch;
	struct loop_timer timer; /* it takes too long, or is to be tried again */
};

static void command_start(struct renewal *r);

static void wake_pools(const struct renewal *r)
{
	for (struct pool *p = r->gw->pools; p; p = p->next)
		if (p->renewal == r)
			queue_look_soon(p);
}

static void command_drop(struct renewal *r)
{
	loop_unwatch(r->gw->loop, &r->watch);
	loop_unset(r->gw->loop, &r->timer);
	spawn_kill(&r->child, true);
	auto_fd(&r->out);
	r->out = -1;
}

/* Everybody's key is the provider's first; those behind it are of tasks, and stay. */
static void set_lane(struct pool *p)
{
	p->lanes[0].key = p->renewal->key;
	p->lanes[0].refused = p->lanes[0].noted = false;
}

/* Those who wait go on, with the key there is. */
static void done(struct renewal *r)
{
	r->busy = false;
	r->tries = 0;
	wake_pools(r);
}

static void failed(struct renewal *r, const char *why)
{
	static const int pause_ms[TRIES] = {0, 1000, 4000, 10000, 30000};

	command_drop(r);
	if (++r->tries < TRIES) {
		if (r->tries == 2)
			events_note(r->gw, "%s: key_command fails (%s), it is run again",
				    r->provider->name, why);
		loop_set(r->gw->loop, &r->timer, loop_now_ms(r->gw->loop) + pause_ms[r->tries]);
		return;
	}
	events_note(r->gw, "%s: key_command fails, the key stays as it was: %s", r->provider->name,
		    why);
	r->failed_ms = clock_wall_ms();
	done(r);
}

static bool is_key(const char *s)
{
	for (const char *c = s; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
			return false;
	return *s;
}

/* The first line of what it printed. */
static void take_key(struct renewal *r, char *text)
{
	text[strcspn(text, "\r\n")] = '\0';
	if (!is_key(text)) {
		failed(r, "it prints no key");
		return;
	}
	command_drop(r);
	r->failed_ms = 0;
	r->proven = false;
	r->got_ms = clock_wall_ms();
	if (strcmp(text, r->key->key)) {
		struct kept_key *k = xcalloc(1, sizeof *k);
		*k = (struct kept_key){r->first, {xstrdup(r->key->id), xstrdup(text)}};
		r->first = k;
		r->key = &k->key;
		for (struct pool *p = r->gw->pools; p; p = p->next)
			if (p->renewal == r)
				set_lane(p);
	}
	done(r);
}

static void command_ended(void *ctx, uint32_t events)
{
	struct renewal *r = ctx;
	char text[KEY_MAX + 1], how[48];
	struct err ignored;
	int status;

	if (spawn_wait(&r->child, 1, &status, &ignored))
		return;
	loop_forget(r->gw->loop, &r->watch); /* that descriptor is closed */
	ssize_t n = read(r->out, text, KEY_MAX);
	if (status)
		failed(r, spawn_status_text(status, how));
	else if (n < 0)
		failed(r, "it prints no key");
	else
		take_key(r, (text[n] = '\0', text));
	explicit_bzero(text, sizeof text);
}

static void timer_fires(void *ctx)
{
	struct renewal *r = ctx;

	if (r->child.pid)
		failed(r, "it does not end");
	else
		command_start(r);
}

static void command_start(struct renewal *r)
{
	const char *argv[] = {"sh", "-c", r->provider->key_command, NULL};
	struct err err;
	int out[2];

	if (fd_pipe(out, &err)) {
		failed(r, err.msg);
		return;
	}
	fd_set_nonblock(out[0], true);
	r->out = out[0];
	const struct spawn s = {.argv = argv,
				.env = strv_items(&r->provider->key_command_env),
				.dir_fd = AT_FDCWD,
				.in = -1,
				.out = out[1],
				.err = 2};
	int rc = spawn_start(&r->child, &s, true, &err);
	close(out[1]);
	if (!rc) {
		r->watch =
			(struct loop_watch){.fd = r->child.pidfd, .ready = command_ended, .ctx = r};
		rc = loop_watch(r->gw->loop, &r->watch, EPOLLIN, &err);
	}
	if (rc)
		failed(r, err.msg);
	else
		loop_set(r->gw->loop, &r->timer, loop_now_ms(r->gw->loop) + COMMAND_MS);
}

/* False: it failed a moment ago. */
static bool begin(struct renewal *r)
{
	if (r->busy)
		return true;
	if (r->failed_ms && clock_wall_ms() - r->failed_ms < GIVEN_UP_MS)
		return false;
	r->busy = true;
	command_start(r);
	return r->busy;
}

static struct renewal *renewal_of(struct gateway *gw, const struct upstream *provider)
{
	struct renewal *r = gw->renewals;

	while (r && r->provider != provider)
		r = r->next;
	if (r)
		return r;
	r = xcalloc(1, sizeof *r);
	*r = (struct renewal){.next = gw->renewals,
			      .gw = gw,
			      .provider = provider,
			      .key = &provider->keys[0],
			      .proven = true,
			      .got_ms = provider->key_got_ms,
			      .child = {0, -1},
			      .out = -1,
			      .watch = {.fd = -1}};
	r->timer = (struct loop_timer){.fire = timer_fires, .ctx = r};
	gw->renewals = r;
	return r;
}

void renew_join(struct pool *p)
{
	p->renewal = renewal_of(p->gw, p->provider);
	set_lane(p);
}

bool renew_holds(struct pool *p)
{
	struct renewal *r = p->renewal;
	const int64_t ttl = r->provider->key_ttl_ms;
	const int64_t early = ttl / 10 < EARLY_MS ? ttl / 10 : EARLY_MS;

	if (r->busy)
		return true;
	return ttl && clock_wall_ms() >= r->got_ms + ttl - early && begin(r);
}

bool renew_asks(struct call *c)
{
	enum {
		TIMES = 2
	}; /* what one call is refused whatever the key is not mended by another one */
	struct renewal *r = c->turn.pool->renewal;

	if (!r || c->turn.lane != c->turn.pool->lanes || c->turn.renewals++ >= TIMES)
		return false;
	if (c->turn.key_used != r->key) /* it was renewed meanwhile */
		return true;
	/* One that is new and was never good is no matter of time. */
	return r->busy || (r->proven && begin(r));
}

void renew_proves(const struct call *c)
{
	struct renewal *r = c->turn.pool->renewal;

	if (r && c->turn.key_used == r->key)
		r->proven = true;
}

void renew_free_all(struct gateway *gw)
{
	struct renewal *r;

	while ((r = gw->renewals)) {
		gw->renewals = r->next;
		command_drop(r);
		while (r->first) {
			struct kept_key *k = r->first;
			r->first = k->older;
			explicit_bzero(k->key.key, strlen(k->key.key));
			free(k->key.id);
			free(k->key.key);
			free(k);
		}
		free(r);
	}
}
