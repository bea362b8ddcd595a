/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/loop.h"
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"

enum { BATCH = 128 };

struct loop {
	int epoll;
	bool stopped;
	int64_t now_ms;
	struct loop_timer **heap; /* from 1; the earliest first */
	size_t timers, timers_cap;
	struct epoll_event batch[BATCH];
	int batch_n, batch_at;
};

int loop_new(struct loop **out, struct err *err)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	if (epoll < 0)
		return err_set(err, ERR_INFRA, errno, "epoll_create");
	struct loop *l = xcalloc(1, sizeof *l);
	l->epoll = epoll;
	l->now_ms = clock_mono_ms();
	*out = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	close(l->epoll);
	free(l->heap);
	free(l);
}

int loop_watch(struct loop *l, struct loop_watch *w, uint32_t events, struct err *err)
{
	struct epoll_event e = {.events = events, .data.ptr = w};

	if (w->events == events)
		return 0;
	if (epoll_ctl(l->epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e))
		return err_set(err, ERR_INFRA, errno, "epoll_ctl");
	w->events = events;
	return 0;
}

void loop_forget(struct loop *l, struct loop_watch *w)
{
	w->events = 0;
	/* An event of it may have come with the batch that is being handed out. */
	for (int i = l->batch_at; i < l->batch_n; i++)
		if (l->batch[i].data.ptr == w)
			l->batch[i].data.ptr = NULL;
}

void loop_unwatch(struct loop *l, struct loop_watch *w)
{
	if (!w->events)
		return;
	epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	loop_forget(l, w);
}

static void place(struct loop *l, size_t slot, struct loop_timer *t)
{
	l->heap[slot] = t;
	t->slot = slot;
}

static void sift(struct loop *l, size_t slot)
{
	struct loop_timer *t = l->heap[slot];

	while (slot > 1 && l->heap[slot / 2]->at_ms > t->at_ms) {
		place(l, slot, l->heap[slot / 2]);
		slot /= 2;
	}
	for (;;) {
		size_t child = 2 * slot;
		if (child > l->timers)
			break;
		if (child < l->timers && l->heap[child + 1]->at_ms < l->heap[child]->at_ms)
			child++;
		if (l->heap[child]->at_ms >= t->at_ms)
			break;
		place(l, slot, l->heap[child]);
		slot = child;
	}
	place(l, slot, t);
}

void loop_unset(struct loop *l, struct loop_timer *t)
{
	size_t slot = t->slot;

	if (!slot)
		return;
	t->slot = 0;
	struct loop_timer *last = l->heap[l->timers--];
	if (last != t) {
		place(l, slot, last);
		sift(l, slot);
	}
}

void loop_set(struct loop *l, struct loop_timer *t, int64_t at_ms)
{
	if (t->slot && t->at_ms == at_ms)
		return;
	loop_unset(l, t);
	t->at_ms = at_ms;
	if (l->timers + 2 > l->timers_cap) {
		l->timers_cap = l->timers_cap ? 2 * l->timers_cap : 64;
		l->heap = xreallocarray(l->heap, l->timers_cap, sizeof *l->heap);
	}
	place(l, ++l->timers, t);
	sift(l, l->timers);
}

static void fire_timers(struct loop *l)
{
	while (l->timers && l->heap[1]->at_ms <= l->now_ms && !l->stopped) {
		struct loop_timer *t = l->heap[1];
		loop_unset(l, t);
		t->fire(t->ctx);
	}
}

int64_t loop_now_ms(const struct loop *l)
{
	return l->now_ms;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
}

static int wait_ms(const struct loop *l, bool more)
{
	if (more)
		return 0;
	if (!l->timers)
		return -1;
	/* Not the time of the last wait: what came before this one may have taken long. */
	int64_t left = l->heap[1]->at_ms - clock_mono_ms();
	return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

int loop_run(struct loop *l, bool (*before)(void *ctx), void *ctx, struct err *err)
{
	while (!l->stopped) {
		bool more = before && before(ctx);
		if (l->stopped)
			break;
		int n = epoll_wait(l->epoll, l->batch, BATCH, wait_ms(l, more));
		if (n < 0 && errno != EINTR)
			return err_set(err, ERR_INFRA, errno, "epoll_wait");
		l->now_ms = clock_mono_ms();
		l->batch_n = n < 0 ? 0 : n;
		for (int i = 0; i < l->batch_n && !l->stopped; i++) {
			struct loop_watch *w = l->batch[i].data.ptr;
			l->batch_at = i + 1;
			if (w)
				w->ready(w->ctx, l->batch[i].events);
		}
		l->batch_n = l->batch_at = 0;
		fire_timers(l);
	}
	return 0;
}
