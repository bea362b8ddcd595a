/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * loop.h -- one thread's event loop over epoll: descriptors, timers, and what is to be done before each
 * wait. Callbacks are never called from within the functions below, but from loop_run alone. Not for
 * regular files.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct loop;

struct loop_watch {
	int fd; /* -1: not watched */
	uint32_t events;
	void (*ready)(void *ctx, uint32_t events);
	void *ctx;
};

struct loop_timer {
	size_t slot; /* 0: not set */
	int64_t at_ms;
	void (*fire)(void *ctx);
	void *ctx;
};

int loop_new(struct loop **out, struct err *err) MUST_CHECK;
void loop_free(struct loop *l); /* accepts NULL; what is watched stays open */

/* Watch W->fd for EVENTS (EPOLLIN ...); W belongs to the caller and must stay where it is until
 * loop_unwatch. Again with other events: changes them. */
int loop_watch(struct loop *l, struct loop_watch *w, uint32_t events, struct err *err) MUST_CHECK;
void loop_unwatch(struct loop *l,
		  struct loop_watch *w); /* before the descriptor is closed; idempotent */
/* The same where the descriptor is closed already and may even be another one by now. */
void loop_forget(struct loop *l, struct loop_watch *w);

void loop_set(struct loop *l, struct loop_timer *t, int64_t at_ms); /* again: moves it */
void loop_unset(struct loop *l, struct loop_timer *t);

/* clock_mono_ms, read once after each wait. */
int64_t loop_now_ms(const struct loop *l);

/* BEFORE runs before each wait; true: do not wait, there is more to do. Ends after loop_stop. */
int loop_run(struct loop *l, bool (*before)(void *ctx), void *ctx, struct err *err) MUST_CHECK;
void loop_stop(struct loop *l);
