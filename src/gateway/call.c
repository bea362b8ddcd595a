/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gateway/internal.h"

enum {
	TICK_MS = 50,
	LONG_WAIT_S = 30, /* until it is asked again: told at once */
};

static int64_t now_ms(const struct call *c)
{
	return loop_now_ms(c->gw->loop);
}

/* [0, 1) */
static double random_of(struct gateway *gw)
{
	gw->random ^= gw->random << 13;
	gw->random ^= gw->random >> 7;
	gw->random ^= gw->random << 17;
	return (double)(gw->random >> 11) / (double)(1ull << 53);
}

static void stop_waiting(struct call *c)
{
	c->times.queued_total_ms += now_ms(c) - c->times.wait_ms;
}

static void pump(struct pool *p);

static void pump_due(void *ctx)
{
	pump(ctx);
}

static void back_off_ends(void *ctx)
{
	struct call *c = ctx;

	c->state = CALL_QUEUED;
	queue_add(c, true);
	pump(c->turn.pool);
}

struct call *call_new(struct gateway *gw, const char *uri)
{
	static const struct price not_known;
	struct call *c = xcalloc(1, sizeof *c);

	c->gw = gw;
	c->price = &not_known;
	c->asked.uri = xstrdup(uri);
	c->asked.target = c->asked.body = c->answer.headers = c->answer.out = c->answer.held =
		(struct buf)BUF_INIT;
	c->answer.mask = (struct key_mask)KEY_MASK_INIT;
	c->answer.length = -1;
	c->timer = (struct loop_timer){.fire = back_off_ends, .ctx = c};
	c->agent.watch.fd = -1;
	c->next = gw->calls;
	if (c->next)
		c->next->prev = c;
	gw->calls = c;
	call_tick_soon(gw);
	return c;
}

void call_free(struct call *c)
{
	struct gateway *gw = c->gw;

	call_cancel(c, "client_left");
	accounts_leave(c);
	gw->held_bytes -= c->asked.held_bytes;
	queue_leave_pool(c);
	if (c->on_todo)
		for (struct call **at = &gw->todo; *at; at = &(*at)->todo_next)
			if (*at == c) {
				*at = c->todo_next;
				break;
			}
	loop_unwatch(gw->loop, &c->agent.watch);
	*(c->prev ? &c->prev->next : &gw->calls) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	replay_call_free(c);
	curl_slist_free_all(c->asked.headers);
	free(c->asked.uri);
	free(c->asked.coding);
	buf_release(&c->asked.target);
	buf_release(&c->asked.body);
	buf_release(&c->answer.headers);
	buf_release(&c->answer.out);
	buf_release(&c->answer.held);
	key_mask_release(&c->answer.mask);
	free(c);
}

/* --- a request comes -- */

static void settle(struct call *c, const char *end);
static void replayed(struct call *c, const struct replay_cost *cost);

static void count_call(struct call *c)
{
	struct control_failure f = {.retry = true};

	c->account->calls_made++;
	snprintf(f.text, sizeof f.text, "%.60s has not answered %.100s yet", c->provider->name,
		 c->asked.names.model);
	accounts_unanswered(c->account, f);
}

/* False: it goes to the provider. */
static bool is_replayed(struct call *c)
{
	const struct replay_cost *cost;

	switch (replay_call(c, &cost)) {
	case REPLAY_GIVEN:
		replayed(c, cost);
		return true;
	case REPLAY_REFUSED:
		settle(c, "error");
		return true;
	default:
		return false;
	}
}

/* The gateway's own answer, which the trial may end by. */
static void refused_here(struct call *c)
{
	enum { PATH_SHOWN = 200 };
	/* A model that was not declared: no attempt is given it. */
	struct control_failure f = {.refused = c->answer.status == 403};
	bool counts = c->asked.endpoint.kind == ENDPOINT_GENERATE ||
		      c->asked.endpoint.kind == ENDPOINT_NONE ||
		      c->asked.endpoint.kind == ENDPOINT_METHOD;

	if (c->asked.target.len > PATH_SHOWN) {
		c->asked.target.len = PATH_SHOWN;
		c->asked.target.data[PATH_SHOWN] = '\0';
	}
	c->id = c->account ? ++c->account->last_call : ++c->gw->last_call;
	if (c->account && counts) {
		snprintf(f.text, sizeof f.text, "gateway: %d: %.150s (%s %.70s)", c->answer.status,
			 c->error, c->asked.method, c->asked.target.data);
		accounts_unanswered(c->account, f);
	}
	settle(c, "error");
}

static bool join_pool(struct call *c)
{
	char message[80];

	if (queue_join_pool(c, pump_due))
		return true;
	snprintf(message, sizeof message, "this trial has asked for %d models already",
		 ACCOUNT_POOLS);
	answer_own(c, 400, message);
	return false;
}

static void hold(struct call *c)
{
	c->state = CALL_HELD;
	c->account->held++;
}

static void enqueue(struct call *c)
{
	c->state = CALL_QUEUED;
	queue_add(c, false);
	pump(c->turn.pool);
}

/* Other calls of A have shown what they cost: those that were held may go on, in their order. */
static void let_held_go(struct account *a)
{
	while (a->held && !a->leaving) {
		struct call *next = NULL;
		for (struct call *c = a->gw->calls; c; c = c->next)
			if (c->account == a && c->state == CALL_HELD && (!next || c->id < next->id))
				next = c;
		const char *limit = accounts_limit(a);
		limit = limit ? limit : accounts_budget(a);
		if (!next || (!limit && !accounts_reserve(a, next)))
			return;
		a->held--;
		if (!limit) {
			enqueue(next);
			continue;
		}
		stop_waiting(next);
		accounts_wait(a, -1, 0);
		answer_own(next, 400, limit);
		settle(next, "limit");
	}
}

/* What the benchmark may spend is spent. A trial that heard nothing of its model before has not been. */
static bool is_out_of_budget(struct call *c)
{
	const char *limit = c->account && c->asked.endpoint.kind == ENDPOINT_GENERATE
				    ? accounts_budget(c->account)
				    : NULL;
	struct control_failure f = {.retry = true};

	if (!limit)
		return false;
	snprintf(f.text, sizeof f.text, "%s", limit);
	accounts_unanswered(c->account, f);
	answer_own(c, 400, limit);
	settle(c, "limit");
	return true;
}

void call_submit(struct call *c)
{
	c->asked.body_read = true;
	c->times.asked_ms = now_ms(c);
	c->asked.body_bytes = (int64_t)c->asked.body.len;
	if (c->answer.done) {
		if (c->answer.status == 404 || c->answer.status == 405)
			refused_here(c);
		return;
	}
	if (c->asked.too_big) {
		char message[80];
		snprintf(message, sizeof message, "the request is larger than %lld bytes",
			 (long long)c->gw->doc.body_bytes);
		answer_own(c, 413, message);
		return;
	}
	if (c->asked.too_much) {
		answer_own(c, 503, "the requests under way are too large together");
		return;
	}
	if (!admit_body(c) || !admit_route(c) || !join_pool(c)) {
		refused_here(c);
		return;
	}
	c->id = c->account ? ++c->account->last_call : ++c->gw->last_call;
	const char *limit = c->account && c->asked.endpoint.kind == ENDPOINT_GENERATE
				    ? accounts_limit(c->account)
				    : NULL;
	if (limit) {
		answer_own(c, 400, limit);
		settle(c, "limit");
		return;
	}
	if (c->account && c->asked.endpoint.kind == ENDPOINT_GENERATE)
		count_call(c);
	if (c->account)
		model_request_hash(c->asked.method, c->asked.target.data, c->asked.body.data,
				   c->asked.body.len, c->asked.hash);
	if ((c->account && c->account->replay && is_replayed(c)) || is_out_of_budget(c))
		return;
	recording_request(c);
	if (c->provider->key_command && !c->turn.pool->renewal)
		renew_join(c->turn.pool);
	c->asked.names.wants_usage &= !c->turn.pool->plain;
	c->asked.patched = c->asked.names.wants_usage;
	model_request_patch(&c->asked.names, &c->asked.body);
	if (c->provider->anthropic_version && c->asked.endpoint.api == API_ANTHROPIC)
		model_request_put_version(&c->asked.names, &c->asked.body,
					  c->provider->anthropic_version);
	c->times.wait_ms = now_ms(c);
	if (c->account)
		accounts_wait(c->account, 1, 0);
	if (c->account && c->asked.endpoint.kind == ENDPOINT_GENERATE &&
	    !accounts_reserve(c->account, c))
		hold(c);
	else
		enqueue(c);
}

static void give_up(struct call *c)
{
	struct control_failure why = {.retry = !c->try.hopeless, .refused = c->try.hopeless};

	refusal_describe_shut(c, why.text, sizeof why.text);
	if (c->account && c->asked.endpoint.kind == ENDPOINT_GENERATE)
		accounts_fail(c->account, c->asked.names.model, why);
	if (c->answer.status) {
		/* What was kept of its last error is what the agent gets. */
		c->state = CALL_OVER;
		c->answer.length = -1;
		c->answer.head_ready = c->answer.done = true;
		c->answer.bytes = (int64_t)c->answer.out.len;
		answer_wake(c);
	} else {
		answer_own(c, 503, why.text);
	}
	recording_head(c);
	recording_bytes(c, c->answer.out.data, c->answer.out.len);
	settle(c, "error");
}

static void expire(struct call *c)
{
	stop_waiting(c);
	loop_unset(c->gw->loop, &c->timer);
	queue_remove(c);
	if (c->account)
		accounts_wait(c->account, -1, 0);
	give_up(c);
}

static void wait_again(struct call *c, int64_t wait)
{
	int64_t now = now_ms(c);

	c->times.retries++;
	c->times.wait_ms = now;
	if (c->account)
		accounts_wait(c->account, 1, 0);
	if (wait) {
		c->state = CALL_BACKING_OFF;
		loop_set(c->gw->loop, &c->timer, now + wait);
	} else {
		c->state = CALL_QUEUED;
		queue_add(c, true);
	}
}

/* The try gave nothing that the agent may see. LANE is the one it had. */
static void try_failed(struct call *c, struct lane *lane)
{
	int64_t now = now_ms(c), wait = 0;

	if (c->answer.status == 429 || c->answer.status == 529)
		quota_too_much(&lane->quota, c->times.sent_ms, c->try.retry_after_s, now);
	else
		quota_unwell(&lane->quota, c->try.retry_after_s, now);
	if (!c->times.fail_ms)
		c->times.fail_ms = now;
	if (!c->failing)
		c->turn.pool->failing++;
	c->failing = true;
	if (!c->turn.pool->shut_ms)
		c->turn.pool->shut_ms = now;
	/* Where the provider said when to come again, its lane is shut; another key may do at once. */
	if (!(c->try.retry_after_s > 0))
		wait = quota_back_off_ms(c->times.retries, random_of(c->gw));
	c->turn.pool->last_status = c->answer.status;
	int64_t deadline = c->times.fail_ms + refusal_patience_ms(c);
	if (c->try.hopeless || now >= deadline || queue_is_shut_past(c, now, deadline)) {
		give_up(c);
		return;
	}
	if (now + wait > deadline) /* once more, at the very end */
		wait = deadline - now;
	if (c->times.retries || c->try.retry_after_s >= LONG_WAIT_S)
		refusal_say_shut(c);
	wait_again(c, wait);
}

static void try_ended(struct call *c, CURLcode code);

/* Its turn has come. */
static void send_call(struct call *c, struct lane *lane)
{
	struct err err;

	stop_waiting(c);
	c->state = CALL_FLYING;
	c->turn.lane = lane;
	c->turn.key_used = lane->key;
	c->turn.key_tried = true;
	c->times.sent_ms = c->times.byte_ms = now_ms(c);
	if (c->asked.endpoint.kind == ENDPOINT_GENERATE)
		recording_open(c);
	quota_take(&lane->quota);
	if (c->account)
		accounts_wait(c->account, -1, 1);
	if (upstream_start(c, try_ended, &err)) {
		snprintf(c->error, sizeof c->error, "%.150s", err.msg);
		try_ended(c, CURLE_FAILED_INIT);
	}
}

/* Start what may start. */
static void pump(struct pool *p)
{
	struct lane *lane;
	struct call *c;

	if (p->pumping || (p->renewal && renew_holds(p))) /* by a call that failed at once */
		return;
	p->pumping = true;
	while ((c = queue_next(p, &lane)))
		send_call(c, lane);
	p->pumping = false;
	queue_wait(p);
}

/* Its try is over: another may have the room. */
static void leave_lane(struct call *c)
{
	if (!c->turn.lane)
		return;
	queue_leave_lane(c);
	pump(c->turn.pool);
}

static void over(struct call *c, const char *end)
{
	c->state = CALL_OVER;
	c->answer.done = true;
	c->answer.cut = strcmp(end, "cut") == 0;
	refusal_learn_plain(c);
	if (refusal_inside(c) && !c->answer.cut)
		end = "error";
	if (c->answer.cut && c->account && c->answer.status < 300) {
		struct control_failure f = {.retry = true};
		snprintf(f.text, sizeof f.text, "%.60s breaks off: %.170s", c->provider->name,
			 c->error);
		accounts_unanswered(c->account, f);
	}
	settle(c, c->answer.status >= 300 && !c->answer.cut ? "error" : end);
	answer_wake(c);
}

/* Refused, perhaps, for what we had added: it is sent once more as the agent wrote it. */
static bool take_back(struct call *c)
{
	if (!c->asked.patched || (c->answer.status != 400 && c->answer.status != 422))
		return false;
	model_request_unpatch(&c->asked.names, &c->asked.body);
	c->asked.patched = c->asked.names.wants_usage = false;
	c->went_plain = true;
	return true;
}

/* An error is whole, or broke off. */
static void error_ended(struct call *c, struct lane *lane, CURLcode code)
{
	const char *words = provider_error_words(&c->try.said);
	const bool passed = c->answer.head_ready; /* it was too large to be kept */
	enum provider_refusal why = provider_refusal(&c->try.said, c->answer.status);

	if (*words)
		snprintf(c->error, sizeof c->error, "%d: %s", c->answer.status, words);
	else
		snprintf(c->error, sizeof c->error, "status %d", c->answer.status);
	if (!passed && take_back(c)) {
		wait_again(c, 0);
	} else if (!passed && (why == REFUSAL_KEY || c->answer.status == 401) && renew_asks(c)) {
		wait_again(c, 0);
	} else if (refusal_set_aside(c, lane, why) && !passed) {
		wait_again(c, 0);
	} else if (why == REFUSAL_NONE && provider_is_busy(c->answer.status) && !passed &&
		   !refusal_of_this_call(c)) {
		try_failed(c, lane);
	} else {
		refusal_tell(c, why);
		if (!passed)
			answer_pass_error(c);
		over(c, code ? "cut" : "ok");
	}
}

/* No patience mends these. */
static bool is_hopeless(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
	       code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
}

static void try_ended(struct call *c, CURLcode code)
{
	struct lane *lane = c->turn.lane;

	if (c->account)
		accounts_wait(c->account, 0, -1);
	c->try.hopeless = is_hopeless(code);
	answer_pass_held(c);
	if (!c->try.head_seen) /* half a head is no answer */
		c->answer.status = 0;
	/* The lane is freed last: whoever gets it then sees what this try has taught. */
	if (c->answer.status >= 300)
		error_ended(c, lane, code);
	else if (!c->answer.head_ready)
		try_failed(c, lane);
	else
		over(c, code ? "cut" : "ok");
	if (c->answer.status && c->answer.status < 300)
		renew_proves(c);
	leave_lane(c);
}

/* A name such as "NAME-latest" may come to mean another model while a benchmark runs. */
static void look_at_served(struct call *c)
{
	struct pool *p = c->turn.pool;

	if (!p || !*c->answer.meter.model || strcmp(p->served, c->answer.meter.model) == 0)
		return;
	if (*p->served && p->moves++ < 3)
		events_note(c->gw, "%s: %s was answered by %s, and now by %s", c->provider->name,
			    p->model, p->served, c->answer.meter.model);
	snprintf(p->served, sizeof p->served, "%s", c->answer.meter.model);
}

static void account_for(struct call *c, const struct token_usage *u, bool estimated, double usd,
			const char *end)
{
	struct gateway *gw = c->gw;

	c->settled = true;
	const bool nowhere = !c->turn.key_tried && !c->replayed;
	if (c->account && (!nowhere || c->account->refused++ < ACCOUNT_REFUSED)) {
		recording_log(c, u, estimated, usd, end);
		accounts_dirty(c->account, true, false);
	}
	if (c->asked.endpoint.kind != ENDPOINT_GENERATE || !c->turn.key_tried)
		return;
	if (c->account)
		accounts_call_over(c->account, c, u, estimated, usd);
	if (c->replayed) /* it costs nothing now */
		return;
	gw->calls_made++;
	gw->tokens += u->input + u->output;
	if (usd < 0)
		gw->unpriced++;
	else
		gw->usd += usd;
	events_changed(gw);
}

/* What the provider bills is better known to itself; what a reseller names is better than nothing. */
static double usd_of(const struct call *c, const struct token_usage *u)
{
	const struct usage_meter *m = &c->answer.meter;

	if (m->usd_ticks >= 0)
		return (double)m->usd_ticks / 1e10;
	if (!c->price->known && m->cost_ticks >= 0)
		return (double)m->cost_ticks / 1e10;
	return usage_usd(c->price, u, m->service);
}

/* Once for each call that was submitted. */
static void settle(struct call *c, const char *end)
{
	struct token_usage u = {0};
	bool estimated = false;
	double usd = 0;

	if (c->settled)
		return;
	if (c->answer.metering && (c->answer.head_ready || c->agent.gone)) {
		const int64_t tokens = c->asked.names.tokens;
		estimated = usage_meter_end(&c->answer.meter,
					    c->account ? accounts_guess_input(c->account, tokens)
						       : tokens,
					    strcmp(end, "ok") == 0, &u);
		usd = usd_of(c, &u);
		look_at_served(c);
	}
	if (c->failing)
		c->turn.pool->failing--;
	recording_end(c, &u, estimated, end);
	account_for(c, &u, estimated, usd, end);
	if (c->account && c->reserves) {
		accounts_unreserve(c->account, c);
		let_held_go(c->account);
	}
}

/* The answer is at hand, and this is what it once cost. */
static void replayed(struct call *c, const struct replay_cost *cost)
{
	c->state = CALL_OVER;
	c->turn.key_tried = true;
	c->answer.metering = c->answer.status < 300 && c->asked.endpoint.kind == ENDPOINT_GENERATE;
	snprintf(c->answer.meter.model, sizeof c->answer.meter.model, "%s", cost->model);
	account_for(c, &cost->tokens, cost->estimated,
		    c->answer.metering ? usage_usd(c->price, &cost->tokens, "") : 0, cost->end);
	answer_wake(c);
}

void call_cancel(struct call *c, const char *end)
{
	if (!c->asked.body_read || c->state == CALL_OVER) {
		accounts_leave(c);
		if (c->replayed) { /* the recording goes with the attempt */
			replay_call_free(c);
			c->answer.done = c->answer.cut = true;
		}
		return;
	}
	bool waits = c->state != CALL_FLYING;
	if (c->state == CALL_HELD && c->account)
		c->account->held--;
	c->agent.gone = c->answer.done = c->answer.cut = true;
	c->state = CALL_OVER;
	if (waits) {
		stop_waiting(c);
	} else if (!c->answer.head_ready && c->asked.endpoint.kind == ENDPOINT_GENERATE) {
		/* It was asked, and nobody will hear what it counted. */
		usage_meter_init(&c->answer.meter, c->asked.endpoint.api, false);
		c->answer.metering = true;
	}
	loop_unset(c->gw->loop, &c->timer);
	queue_remove(c);
	upstream_stop(c);
	settle(c, end);
	if (c->account)
		accounts_wait(c->account, waits ? -1 : 0, waits ? 0 : -1);
	accounts_leave(c);
	leave_lane(c);
	answer_wake(c);
}

void call_cancel_all(struct account *a)
{
	a->leaving = true;
	for (struct call *c = a->gw->calls; c; c = c->next) {
		if (c->account != a)
			continue;
		call_cancel(c, "cut");
		accounts_leave(c);
		if (!c->answer.head_ready)
			answer_own(c, 401, "the trial is over");
	}
}

static void stalled(struct call *c)
{
	char span[16];

	upstream_stop(c);
	clock_human(c->gw->doc.stall_ms, span);
	snprintf(c->error, sizeof c->error, "no byte for %s", span);
	if (!c->answer.head_ready)
		c->answer.status = 0;
	try_ended(c, CURLE_OPERATION_TIMEDOUT);
}

void call_tick_soon(struct gateway *gw)
{
	if (!gw->tick_timer.slot)
		loop_set(gw->loop, &gw->tick_timer, loop_now_ms(gw->loop) + TICK_MS);
}

void call_tick(struct call *c)
{
	int64_t now = now_ms(c), since;

	if (c->state == CALL_OVER || !c->asked.body_read || c->replayed)
		return;
	switch (c->state) {
	case CALL_FLYING:
		if (!c->try.paused && now - c->times.byte_ms > c->gw->doc.stall_ms)
			stalled(c);
		return;
	case CALL_QUEUED:
		since = c->times.asked_ms > c->turn.pool->good_ms ? c->times.asked_ms
								  : c->turn.pool->good_ms;
		if ((now - since > refusal_patience_ms(c) && !queue_in_flight(c->turn.pool)) ||
		    queue_is_shut_past(c, now, since + refusal_patience_ms(c)))
			expire(c);
		return;
	default:
		return;
	}
}
