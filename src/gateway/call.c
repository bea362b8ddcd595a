/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "gateway/internal.h"

enum { KEY_MIN = 8 };

static int64_t now_ms(const struct call *c)
{
	return loop_now_ms(c->gw->loop);
}

static void back_off_ends(void *ctx)
{
	struct call *c = ctx;

	c->state = CALL_QUEUED;
	queue_add(c, true);
	queue_pump(c->pool);
}

struct call *call_new(struct gateway *gw, const char *uri)
{
	struct call *c = xcalloc(1, sizeof *c);

	c->gw = gw;
	c->uri = xstrdup(uri);
	c->target = c->body = c->answer_headers = c->out = c->held = (struct buf)BUF_INIT;
	c->answer_length = -1;
	c->timer = (struct loop_timer){.fire = back_off_ends, .ctx = c};
	c->client.fd = -1;
	c->next = gw->calls;
	if (c->next)
		c->next->prev = c;
	gw->calls = c;
	gateway_call_comes(gw);
	return c;
}

void call_free(struct call *c)
{
	struct gateway *gw = c->gw;

	call_cancel(c, "client_left");
	if (c->on_todo)
		for (struct call **at = &gw->todo; *at; at = &(*at)->todo_next)
			if (*at == c) {
				*at = c->todo_next;
				break;
			}
	loop_unwatch(gw->loop, &c->client);
	*(c->prev ? &c->prev->next : &gw->calls) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	replay_call_free(c);
	curl_slist_free_all(c->headers);
	free(c->uri);
	buf_release(&c->target);
	buf_release(&c->body);
	buf_release(&c->answer_headers);
	buf_release(&c->out);
	buf_release(&c->held);
	free(c);
}

void call_wake(struct call *c)
{
	if (c->on_todo)
		return;
	c->on_todo = true;
	c->todo_next = c->gw->todo;
	c->gw->todo = c;
}

void call_answer(struct call *c, int status, const char *message)
{
	static const char type[] = "content-type\0application/json";

	c->state = CALL_OVER;
	c->own = c->head_ready = c->done = true;
	c->status = status;
	buf_reset(&c->answer_headers);
	buf_add(&c->answer_headers, type, sizeof type);
	buf_reset(&c->out);
	c->out_at = 0;
	endpoint_error(&c->out, c->endpoint.api, status, message);
	if (!*c->error)
		snprintf(c->error, sizeof c->error, "%s", message);
	c->answer_length = (int64_t)c->out.len;
	call_wake(c);
}

/* --- admission ------------------------------------------------------------------------------------ */

void call_admit(struct call *c, const char *method, bool upgrade, const char *token)
{
	AUTO(buf) struct buf key = BUF_INIT;

	snprintf(c->method, sizeof c->method, "%s", method);
	c->endpoint = endpoint_of(method, c->uri, upgrade);
	endpoint_strip_key(c->uri, &c->target, &key);
	if (c->gw->doc.secret || c->gw->doc.control) {
		c->account = accounts_find(c->gw, token ? token : key.data);
		if (!c->account)
			call_answer(c, 401, "the token is not that of a trial that runs now");
	}
	explicit_bzero(key.data, key.len);
	if (c->done)
		return;
	if (c->endpoint.kind == ENDPOINT_UPGRADE)
		call_answer(c, 426, "no WebSocket here: send the request by POST");
	else if (c->endpoint.kind == ENDPOINT_METHOD)
		call_answer(c, 405, "this path does not take that method");
	else if (c->endpoint.kind == ENDPOINT_NONE)
		call_answer(c, 404, "the gateway does not pass this path on");
}

static const struct upstream *any_provider(const struct setup *d, unsigned apis)
{
	for (size_t i = 0; i < d->providers_n; i++)
		if (d->providers[i].apis & apis)
			return &d->providers[i];
	return NULL;
}

/* An attempt's calls go to its own provider, whatever model they name: its token buys nothing elsewhere. */
static bool choose_provider(struct call *c)
{
	const struct setup *d = &c->gw->doc;
	const struct upstream *own = c->account ? c->account->provider : NULL;
	const struct model_route *rule = setup_model(d, c->request.model, own);
	char message[320];

	c->provider = own ? own : rule ? rule->provider : NULL;
	if (rule)
		c->price = rule->price;
	if (c->endpoint.kind == ENDPOINT_MODELS) {
		if (!c->provider)
			c->provider = any_provider(d, ~0u);
		/* Whose shape it is is the provider's matter; the key goes where that looks for it. */
		while (c->provider && !(c->provider->apis >> c->endpoint.api & 1))
			c->endpoint.api = (c->endpoint.api + 1) % API_COUNT;
	} else if (!c->provider && d->providers_n == 1) {
		c->provider = &d->providers[0];
	}
	if (!c->provider) {
		snprintf(message, sizeof message, "no provider is known for model %s",
			 *c->request.model ? c->request.model : "(none)");
		call_answer(c, 404, message);
		return false;
	}
	if (!(c->provider->apis >> c->endpoint.api & 1)) {
		snprintf(message, sizeof message,
			 "provider %.80s is not set up to answer the %s API", c->provider->name,
			 api_names[c->endpoint.api]);
		call_answer(c, 404, message);
		return false;
	}
	return true;
}

static void read_request(struct call *c)
{
	model_request_read(&c->request, c->endpoint.api, c->body.data, c->body.len);
	if (c->endpoint.kind != ENDPOINT_GENERATE)
		c->request.wants_usage = false;
	if (c->endpoint.api != API_GEMINI)
		return;
	snprintf(c->request.model, sizeof c->request.model, "%.*s", (int)c->endpoint.model_len,
		 c->endpoint.model);
	c->request.stream = c->endpoint.stream;
}

static void settle(struct call *c, const char *end);

void call_submit(struct call *c)
{
	c->body_read = true;
	c->asked_ms = now_ms(c);
	c->body_bytes = (int64_t)c->body.len;
	if (c->done)
		return;
	if (c->too_big) {
		char message[80];
		snprintf(message, sizeof message, "the request is larger than %lld bytes",
			 (long long)c->gw->doc.body_bytes);
		call_answer(c, 413, message);
		return;
	}
	read_request(c);
	c->id = c->account ? ++c->account->last_call : ++c->gw->last_call;
	if (!choose_provider(c)) {
		settle(c, "error");
		return;
	}
	const char *limit = c->account && c->endpoint.kind == ENDPOINT_GENERATE
				    ? accounts_limit(c->account)
				    : NULL;
	if (limit) {
		call_answer(c, 400, limit);
		settle(c, "limit");
		return;
	}
	if (c->account && c->endpoint.kind == ENDPOINT_GENERATE)
		c->account->calls_made++;
	if (c->account)
		model_request_hash(c->method, c->target.data, c->body.data, c->body.len, c->hash);
	if (c->account && c->account->replay && replay_call(c)) {
		if (!c->settled) /* it diverged */
			settle(c, "error");
		return;
	}
	recording_request(c);
	model_request_patch(&c->request, &c->body);
	c->pool = queue_pool(c->gw, c->provider, c->request.model);
	c->state = CALL_QUEUED;
	c->wait_ms = now_ms(c);
	if (c->account)
		accounts_wait(c->account, 1, 0);
	queue_add(c, false);
	queue_pump(c->pool);
}

/* --- tries ---------------------------------------------------------------------------------------- */

static void stop_waiting(struct call *c)
{
	c->queued_total_ms += now_ms(c) - c->wait_ms;
}

static const char *model_of(const struct call *c)
{
	return *c->request.model ? c->request.model : c->target.data;
}

/* What is between the agent and an answer, in one line. */
static void describe_shut(const struct call *c, char *out, size_t size)
{
	int status = c->status ? c->status : c->pool->last_status;

	if (status)
		snprintf(out, size, "%.60s answers %d to %.60s, for too long", c->provider->name,
			 status, model_of(c));
	else
		snprintf(out, size, "%.60s cannot be reached: %.100s", c->provider->name,
			 *c->error ? c->error : "it stays shut");
}

static void give_up(struct call *c)
{
	char text[200];

	describe_shut(c, text, sizeof text);
	if (c->account && c->endpoint.kind == ENDPOINT_GENERATE)
		accounts_fail(c->account, c->request.model, !c->hopeless, "%s", text);
	if (c->status) {
		/* What was kept of its last error is what the agent gets. */
		c->state = CALL_OVER;
		c->answer_length = -1;
		c->head_ready = c->done = true;
		c->response_bytes = (int64_t)c->out.len;
		call_wake(c);
	} else {
		call_answer(c, 503, text);
	}
	if (!*c->error)
		snprintf(c->error, sizeof c->error, "status %d", c->status);
	recording_head(c);
	recording_bytes(c, c->out.data, c->out.len);
	settle(c, "error");
}

void call_expire(struct call *c)
{
	stop_waiting(c);
	loop_unset(c->gw->loop, &c->timer);
	queue_remove(c);
	if (c->account)
		accounts_wait(c->account, -1, 0);
	give_up(c);
}

static void say_shut(struct call *c)
{
	struct pool *p = c->pool;
	int64_t now = now_ms(c);

	if (p->said_ms && now - p->said_ms < 60000)
		return;
	p->said_ms = now;
	if (c->status)
		gateway_note(c->gw, "%s answers %d for %s: waiting", c->provider->name, c->status,
			     p->model);
	else
		gateway_note(c->gw, "%s does not answer for %s (%s): waiting", c->provider->name,
			     p->model, c->error);
}

/* The try gave nothing that the agent may see. LANE is the one it had. */
static void try_failed(struct call *c, struct lane *lane)
{
	int64_t now = now_ms(c), wait = 0;
	bool refused = c->status == 401 || c->status == 403;

	if (c->status == 429 || c->status == 529)
		quota_too_much(&lane->quota, c->sent_ms, c->retry_after_s, now);
	else if (!refused)
		quota_unwell(&lane->quota, c->retry_after_s, now);
	if (!c->fail_ms)
		c->fail_ms = now;
	/* Where the provider said when to come again, its lane is shut; another key may do at once. */
	if (!refused && !(c->retry_after_s > 0))
		wait = quota_back_off_ms(c->retries, gateway_random(c->gw));
	c->pool->last_status = c->status;
	int64_t deadline = c->fail_ms + c->gw->doc.shut_ms;
	if (c->hopeless || now >= deadline || queue_is_shut_past(c, now, deadline)) {
		give_up(c);
		return;
	}
	if (now + wait > deadline) /* once more, at the very end */
		wait = deadline - now;
	c->retries++;
	if (!refused && c->retries > 1)
		say_shut(c);
	c->wait_ms = now;
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

void call_send(struct call *c, struct lane *lane)
{
	struct err err;

	stop_waiting(c);
	c->state = CALL_FLYING;
	c->lane = lane;
	c->key_used = lane->key;
	c->key_tried = true;
	c->sent_ms = c->byte_ms = now_ms(c);
	quota_take(&lane->quota);
	if (c->account)
		accounts_wait(c->account, -1, 1);
	if (upstream_start(c, &err)) {
		snprintf(c->error, sizeof c->error, "%.150s", err.msg);
		call_try_ended(c, CURLE_FAILED_INIT);
	}
}

/* --- the answer ----------------------------------------------------------------------------------- */

static bool is_overload(int status)
{
	return status == 429 || status == 529 || status >= 500;
}

/* An answer that says no to this key, while another may be let in. The last key stays in use, so that
 * what agents see is the provider's own word. */
static bool is_key_refused(struct call *c)
{
	struct lane *l = c->lane;

	if (c->status != 401 && c->status != 403)
		return false;
	l->refused = queue_has_other(c);
	if (!l->noted)
		gateway_note(c->gw, "%s refuses %s%s for %s (%d)%s", c->provider->name,
			     l->key ? "key " : "requests without a key", l->key ? l->key->id : "",
			     c->pool->model, c->status,
			     l->refused ? "; it is set aside" : "; there is no other");
	l->noted = true;
	return l->refused;
}

static void on_error_body(void *ctx, const char *path, enum json_scan_kind kind, const char *text)
{
	struct call *c = ctx;

	if (kind != JSON_SCAN_STRING || strcmp(path, "error.message") != 0)
		return;
	size_t n = (size_t)snprintf(c->error, sizeof c->error, "%d: ", c->status);
	for (; *text && n < sizeof c->error - 1; text++)
		c->error[n++] = *text >= 32 && *text < 127 ? *text : '?';
	c->error[n] = '\0';
}

/* A provider may repeat the key that it was sent, and nobody else is to see that. Returns how many bytes at the
 * end of DATA may be the beginning of it. */
static size_t hide_key(const struct call *c, char *data, size_t n)
{
	const char *key = c->key_used ? c->key_used->key : "";
	size_t len = strlen(key), tail;
	char *at;

	if (len < KEY_MIN) /* a self-hosted server's "none" is no secret */
		return 0;
	while ((at = memmem(data, n, key, len)))
		memset(at, '*', len);
	for (tail = n < len ? n : len - 1; tail && memcmp(data + n - tail, key, tail); tail--)
		;
	return tail;
}

void call_got_head(struct call *c)
{
	int64_t now = now_ms(c);

	quota_report(&c->lane->quota, &c->report, now);
	hide_key(c, c->answer_headers.data, c->answer_headers.len);
	c->may_retry = is_overload(c->status) || is_key_refused(c);
	c->metering = c->status < 300 && c->endpoint.kind == ENDPOINT_GENERATE;
	if (c->status >= 400)
		json_scan_init(&c->meter.scan, on_error_body, c);
	if (c->may_retry)
		return;
	if (c->status < 400) {
		quota_clean(&c->lane->quota, now);
		queue_pump_soon(c->pool); /* there may be more room now */
	}
	c->pool->good_ms = now;
	if (c->metering)
		usage_meter_init(&c->meter, c->endpoint.api, c->is_events);
	else
		c->request.wants_usage = false;
	c->request.wants_usage &= c->is_events;
	if (c->request.wants_usage) /* a piece of it is withheld */
		c->answer_length = -1;
	c->first_ms = now;
	c->head_ready = true;
	recording_head(c);
	call_wake(c);
}

static void pass(struct call *c, const char *data, size_t n)
{
	buf_add(&c->out, data, n);
	recording_bytes(c, data, n);
}

/* Events are held back until they are whole, so that the one we asked for can be left out. */
static void pass_events(struct call *c, const char *data, size_t n, bool end)
{
	buf_add(&c->held, data, n);
	bool ours = end && c->meter.usage_only;
	if (!end && c->held.len < OUT_MAX)
		return;
	if (!ours)
		pass(c, c->held.data, c->held.len);
	buf_reset(&c->held);
}

/* Of an answer that is none; it may be tried again, then it is kept. */
static void keep_error(struct call *c, const char *data, size_t n)
{
	if (c->status >= 400)
		json_scan_feed(&c->meter.scan, data, n);
	if (!c->may_retry)
		pass(c, data, n);
	else if (c->out.len < ERROR_MAX)
		buf_add(&c->out, data, n < ERROR_MAX - c->out.len ? n : ERROR_MAX - c->out.len);
}

/* What may be the beginning of the key is held back until more of it comes, or nothing does. */
static void pass_error(struct call *c, const char *data, size_t n)
{
	buf_add(&c->held, data, n);
	size_t tail = hide_key(c, c->held.data, c->held.len), whole = c->held.len - tail;
	keep_error(c, c->held.data, whole);
	memmove(c->held.data, c->held.data + whole, tail);
	c->held.len = tail;
	call_wake(c);
}

/* The answer is over: what was held back goes the same way, but a good part of a key does not. */
static void pass_held(struct call *c)
{
	if (!c->held.len)
		return;
	if (c->status >= 300) {
		if (c->held.len >= KEY_MIN)
			memset(c->held.data, '*', c->held.len);
		keep_error(c, c->held.data, c->held.len);
	} else {
		pass(c, c->held.data, c->held.len);
	}
	buf_reset(&c->held);
}

bool call_got_bytes(struct call *c, const char *data, size_t n)
{
	c->byte_ms = now_ms(c);
	if (!c->may_retry && c->out.len - c->out_at >= OUT_MAX) {
		c->paused = true;
		return false;
	}
	if (!c->may_retry)
		c->response_bytes += (int64_t)n;
	if (c->status >= 300) {
		pass_error(c, data, n);
		return true;
	}
	for (size_t at = 0; c->metering && at < n;) {
		bool end;
		size_t taken = usage_meter_feed(&c->meter, data + at, n - at, &end);
		if (c->request.wants_usage)
			pass_events(c, data + at, taken, end);
		at += taken;
	}
	if (!c->request.wants_usage)
		pass(c, data, n);
	call_wake(c);
	return true;
}

static void over(struct call *c, const char *end)
{
	c->state = CALL_OVER;
	c->done = true;
	c->cut = strcmp(end, "cut") == 0;
	if (c->status >= 400 && !*c->error)
		snprintf(c->error, sizeof c->error, "status %d", c->status);
	if (c->account && c->endpoint.kind == ENDPOINT_GENERATE &&
	    (c->status == 401 || c->status == 403 || c->status == 404))
		accounts_fail(c->account, c->request.model, false, "%.60s: %s", c->provider->name,
			      c->error);
	settle(c, c->status >= 400 && !c->cut ? "error" : end);
	call_wake(c);
}

/* No patience mends these. */
static bool is_hopeless(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
	       code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL;
}

void call_try_ended(struct call *c, CURLcode code)
{
	struct lane *lane = c->lane;

	if (c->account)
		accounts_wait(c->account, 0, -1);
	if (code && !*c->error)
		snprintf(c->error, sizeof c->error, "%s", curl_easy_strerror(code));
	c->hopeless = is_hopeless(code);
	pass_held(c);
	if (!c->head_seen) /* half a head is no answer */
		c->status = 0;
	/* The lane is freed last: whoever gets it then sees what this try has taught. */
	if (!c->head_ready)
		try_failed(c, lane);
	else
		over(c, code ? "cut" : "ok");
	queue_leave_lane(c);
}

/* --- other ends ----------------------------------------------------------------------------------- */

/* A name such as "NAME-latest" may come to mean another model while a benchmark runs. */
static void look_at_served(struct call *c)
{
	struct pool *p = c->pool;

	if (!p || !*c->meter.model || strcmp(p->served, c->meter.model) == 0)
		return;
	if (*p->served && p->moves++ < 3)
		gateway_note(c->gw, "%s: %s was answered by %s, and now by %s", c->provider->name,
			     p->model, p->served, c->meter.model);
	snprintf(p->served, sizeof p->served, "%s", c->meter.model);
}

static void account_for(struct call *c, const struct token_usage *u, bool estimated, double usd,
			const char *end)
{
	struct gateway *gw = c->gw;

	c->settled = true;
	if (c->account) {
		recording_log(c, u, estimated, usd, end);
		accounts_dirty(c->account, true, false);
	}
	if (c->endpoint.kind != ENDPOINT_GENERATE || !c->key_tried)
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
	gateway_changed(gw);
}

/* Once for each call that was submitted. */
static void settle(struct call *c, const char *end)
{
	struct token_usage u = {0};
	bool estimated = false;
	double usd = 0;

	if (c->settled)
		return;
	if (c->metering && (c->head_ready || c->gone)) {
		estimated = usage_meter_end(&c->meter, c->body_bytes, c->response_bytes,
					    strcmp(end, "ok") == 0, &u);
		usd = usage_usd(&c->price, &u);
		look_at_served(c);
	}
	recording_end(c, &u, estimated, end);
	account_for(c, &u, estimated, usd, end);
}

void call_replayed(struct call *c, const struct token_usage *u, bool estimated, const char *model,
		   const char *end)
{
	c->state = CALL_OVER;
	c->key_tried = true;
	c->metering = c->status < 300 && c->endpoint.kind == ENDPOINT_GENERATE;
	snprintf(c->meter.model, sizeof c->meter.model, "%s", model);
	account_for(c, u, estimated, c->metering ? usage_usd(&c->price, u) : 0, end);
}

void call_cancel(struct call *c, const char *end)
{
	if (!c->body_read || c->state == CALL_OVER) {
		c->account = NULL;
		if (c->replayed) { /* the recording goes with the attempt */
			replay_call_free(c);
			c->done = c->cut = true;
		}
		return;
	}
	bool waits = c->state != CALL_FLYING;
	c->gone = c->done = c->cut = true;
	c->state = CALL_OVER;
	if (waits) {
		stop_waiting(c);
	} else if (!c->head_ready && c->endpoint.kind == ENDPOINT_GENERATE) {
		/* It was asked, and nobody will hear what it counted. */
		usage_meter_init(&c->meter, c->endpoint.api, false);
		c->metering = true;
	}
	loop_unset(c->gw->loop, &c->timer);
	queue_remove(c);
	upstream_stop(c);
	settle(c, end);
	if (c->account)
		accounts_wait(c->account, waits ? -1 : 0, waits ? 0 : -1);
	c->account = NULL;
	queue_leave_lane(c);
	call_wake(c);
}

static void stalled(struct call *c)
{
	char span[16];

	upstream_stop(c);
	clock_human(c->gw->doc.stall_ms, span);
	snprintf(c->error, sizeof c->error, "no byte for %s", span);
	if (!c->head_ready)
		c->status = 0;
	call_try_ended(c, CURLE_OPERATION_TIMEDOUT);
}

void call_tick(struct call *c)
{
	int64_t now = now_ms(c), since;

	if (c->state == CALL_OVER || !c->body_read || c->replayed)
		return;
	switch (c->state) {
	case CALL_FLYING:
		if (!c->paused && now - c->byte_ms > c->gw->doc.stall_ms)
			stalled(c);
		return;
	case CALL_QUEUED:
		since = c->asked_ms > c->pool->good_ms ? c->asked_ms : c->pool->good_ms;
		if ((now - since > c->gw->doc.shut_ms && !queue_in_flight(c->pool)) ||
		    queue_is_shut_past(c, now, since + c->gw->doc.shut_ms))
			call_expire(c);
		return;
	default:
		return;
	}
}
