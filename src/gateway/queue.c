/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "base/mem.h"
#include "gateway/internal.h"

static struct pool *find(struct gateway *gw, const struct upstream *provider, const char *model,
			 void (*due)(void *pool))
{
	struct pool *p;

	for (p = gw->pools; p; p = p->next)
		if (p->provider == provider && strcmp(p->model, model) == 0)
			return p;
	p = xcalloc(1, sizeof *p);
	p->gw = gw;
	p->provider = provider;
	p->model = xstrdup(model);
	p->lanes_n = provider->keys_n ? provider->keys_n : 1;
	p->lanes = xcalloc(p->lanes_n, sizeof *p->lanes);
	for (size_t i = 0; i < p->lanes_n; i++) {
		p->lanes[i].key = provider->keys_n ? &provider->keys[i] : NULL;
		quota_init(&p->lanes[i].quota, provider->max_in_flight);
	}
	p->timer = (struct loop_timer){.fire = due, .ctx = p};
	p->next = gw->pools;
	gw->pools = p;
	return p;
}

bool queue_join_pool(struct call *c, void (*due)(void *pool))
{
	const char *model = c->asked.names.model;
	struct account *a = c->account;
	int i = 0;

	while (a && i < a->pools_n &&
	       (a->pools[i]->provider != c->provider || strcmp(a->pools[i]->model, model)))
		i++;
	if (a && i == ACCOUNT_POOLS)
		return false;
	struct pool *p = a && i < a->pools_n ? a->pools[i] : find(c->gw, c->provider, model, due);
	if (a && i == a->pools_n) {
		a->pools[a->pools_n++] = p;
		p->uses++;
	}
	p->uses++;
	p->is_own |= a && accounts_declared(a, model);
	c->turn.pool = p;
	return true;
}

static void pool_free(struct pool *p)
{
	loop_unset(p->gw->loop, &p->timer);
	free(p->lanes);
	free(p->model);
	free(p);
}

/* What is known of a trial's own model, or of one that answered, is kept. */
static void leave(struct pool *p)
{
	struct pool **at = &p->gw->pools;

	if (--p->uses || p->is_own || p->good_ms)
		return;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	pool_free(p);
}

void queue_leave_pool(struct call *c)
{
	if (c->turn.pool)
		leave(c->turn.pool);
	c->turn.pool = NULL;
}

void queue_leave_all(struct account *a)
{
	while (a->pools_n)
		leave(a->pools[--a->pools_n]);
}

void queue_free_all(struct gateway *gw)
{
	struct pool *p;

	while ((p = gw->pools)) {
		gw->pools = p->next;
		pool_free(p);
	}
}

/* The keys that ATTEMPT (NULL: nobody in particular) may use. */
static const struct key_set *keys_of(const struct pool *p, const struct account *a)
{
	return a ? accounts_use(a, p->provider)->keys : &p->provider->sets[0];
}

/* The last key of all that somebody may use is never set aside: L is one of SET. */
static bool is_aside(const struct pool *p, const struct key_set *set, const struct lane *l)
{
	for (size_t i = 0; l->refused && i < set->keys_n; i++)
		if (!p->lanes[set->keys[i]].refused)
			return true;
	return false;
}

bool queue_has_other(const struct call *c)
{
	const struct key_set *set = keys_of(c->turn.pool, c->account);

	for (size_t i = 0; i < set->keys_n; i++) {
		const struct lane *l = &c->turn.pool->lanes[set->keys[i]];
		if (l != c->turn.lane && !l->refused)
			return true;
	}
	return false;
}

int queue_in_flight(const struct pool *p)
{
	int n = 0;

	for (size_t i = 0; i < p->lanes_n; i++)
		n += p->lanes[i].quota.in_flight;
	return n;
}

static struct party *party_of(struct pool *p, const struct account *a)
{
	struct party *first = p->parties, *q = first;

	if (q)
		do {
			if (q->account == a)
				return q;
			q = q->next;
		} while (q != first);
	q = xcalloc(1, sizeof *q);
	q->pool = p;
	q->account = a;
	/* At the end of the ring: before the one whose turn is next. */
	q->next = first ? first : q;
	q->prev = first ? first->prev : q;
	q->next->prev = q->prev->next = q;
	if (!first)
		p->parties = q;
	return q;
}

static void party_leave(struct party *q)
{
	struct pool *p = q->pool;

	if (p->parties == q)
		p->parties = q->next == q ? NULL : q->next;
	q->next->prev = q->prev;
	q->prev->next = q->next;
	free(q);
}

void queue_add(struct call *c, bool first)
{
	struct party *q = party_of(c->turn.pool, c->account);

	c->turn.party = q;
	c->turn.prev = first ? NULL : q->last;
	c->turn.next = first ? q->first : NULL;
	*(c->turn.prev ? &c->turn.prev->turn.next : &q->first) = c;
	*(c->turn.next ? &c->turn.next->turn.prev : &q->last) = c;
}

void queue_remove(struct call *c)
{
	struct party *q = c->turn.party;

	if (!q)
		return;
	*(c->turn.prev ? &c->turn.prev->turn.next : &q->first) = c->turn.next;
	*(c->turn.next ? &c->turn.next->turn.prev : &q->last) = c->turn.prev;
	c->turn.next = c->turn.prev = NULL;
	c->turn.party = NULL;
	if (!q->first)
		party_leave(q);
}

void queue_leave_lane(struct call *c)
{
	quota_give(&c->turn.lane->quota);
	c->turn.lane = NULL;
}

/* A key that ATTEMPT stays with, if it can: it is waited for while it has no room, and while it is shut for a moment. */
static bool is_kept(const struct pool *p, const struct lane *l, const struct account *attempt,
		    int64_t now_ms)
{
	enum { MOMENT_MS = 10000 };

	const struct provider_key *key = attempt ? accounts_use(attempt, p->provider)->key : NULL;

	return key && l->key == key && l->quota.shut_until_ms - now_ms <= MOMENT_MS;
}

/* ATTEMPT's own, or of those it may use the one that was not used for longest. */
static struct lane *free_lane(struct pool *p, const struct account *attempt, int64_t now_ms)
{
	const struct key_set *set = keys_of(p, attempt);
	struct lane *best = NULL;

	for (size_t i = 0; i < set->keys_n; i++) {
		struct lane *l = &p->lanes[set->keys[i]];
		if (is_kept(p, l, attempt, now_ms) && !is_aside(p, set, l))
			return quota_has_room(&l->quota, now_ms) ? l : NULL;
	}

	for (size_t i = 0; i < set->keys_n; i++) {
		struct lane *l = &p->lanes[set->keys[i]];
		if ((!best || l->turn < best->turn) && !is_aside(p, set, l) &&
		    quota_has_room(&l->quota, now_ms))
			best = l;
	}
	return best;
}

/* Whoever is next and has a key with room; p->parties leads to him then. */
static struct lane *next_turn(struct pool *p, int64_t now_ms)
{
	struct party *first = p->parties, *q = first;

	if (!q)
		return NULL;
	do {
		struct lane *l = free_lane(p, q->account, now_ms);
		if (l) {
			p->parties = q;
			return l;
		}
		q = q->next;
	} while (q != first);
	return NULL;
}

/* When the first of the shut lanes opens; -1: none is shut. */
static int64_t opens_ms(const struct pool *p, int64_t now_ms)
{
	int64_t first = -1;

	for (size_t i = 0; i < p->lanes_n; i++) {
		int64_t at = p->lanes[i].quota.shut_until_ms;
		if (at > now_ms && (first < 0 || at < first))
			first = at;
	}
	return first;
}

bool queue_is_shut_past(const struct call *c, int64_t now_ms, int64_t deadline_ms)
{
	const struct key_set *set = keys_of(c->turn.pool, c->account);
	int64_t end = deadline_ms > now_ms ? deadline_ms : now_ms;

	for (size_t i = 0; i < set->keys_n; i++) {
		const struct lane *l = &c->turn.pool->lanes[set->keys[i]];
		if (!is_aside(c->turn.pool, set, l) && l->quota.shut_until_ms <= end)
			return false;
	}
	return true;
}

struct call *queue_next(struct pool *p, struct lane **lane)
{
	struct lane *l = next_turn(p, loop_now_ms(p->gw->loop));

	if (!l)
		return NULL;
	struct call *c = p->parties->first;
	l->turn = ++p->turns;
	/* The next one's turn comes first, since this party may go with its last call. */
	p->parties = p->parties->next;
	queue_remove(c);
	*lane = l;
	return c;
}

void queue_wait(struct pool *p)
{
	int64_t at = p->parties ? opens_ms(p, loop_now_ms(p->gw->loop)) : -1;

	if (at >= 0)
		loop_set(p->gw->loop, &p->timer, at);
	else
		loop_unset(p->gw->loop, &p->timer);
}

void queue_look_soon(struct pool *p)
{
	if (p->parties)
		loop_set(p->gw->loop, &p->timer, loop_now_ms(p->gw->loop));
}
