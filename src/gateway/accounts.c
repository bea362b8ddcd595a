/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/internal.h"

/* Where the HMAC starts, or NULL. */
static const char *mac_of(const char *token)
{
	const char *dot = strrchr(token, '.');

	return dot && dot > token && strlen(dot + 1) == HASH_HEX - 1 ? dot + 1 : NULL;
}

static bool same_bytes(const char *a, const char *b, size_t n)
{
	unsigned char diff = 0;

	for (size_t i = 0; i < n; i++)
		diff |= (unsigned char)(a[i] ^ b[i]);
	return !diff;
}

bool accounts_token_ok(const char *secret, const char *token)
{
	const char *mac = mac_of(token);
	char want[HASH_HEX];

	if (!mac)
		return false;
	AUTO(free) char *name = xstrndup(token, (size_t)(mac - 1 - token));
	hash_hmac(secret, strlen(secret), name, want);
	return same_bytes(mac, want, HASH_HEX - 1);
}

/* By the part that is no secret. */
static size_t bucket_of(const char *token, size_t len)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)token[i]) * 16777619u;
	return h % BUCKETS;
}

static size_t name_length(const char *token)
{
	const char *mac = mac_of(token);

	return mac ? (size_t)(mac - token) : strlen(token);
}

struct account *accounts_find(struct gateway *gw, const char *token)
{
	size_t len = strlen(token), name = name_length(token);

	for (struct account *a = gw->accounts[bucket_of(token, name)]; a; a = a->next)
		if (strlen(a->token) == len && memcmp(a->token, token, name) == 0)
			return same_bytes(a->token, token, len) ? a : NULL;
	return NULL;
}

bool accounts_hold(struct call *c, size_t n)
{
	const int64_t longest = c->gw->doc.body_bytes, more = (int64_t)n;
	struct account *a = c->account;

	if ((a && a->held_bytes + more > ACCOUNT_BODIES * longest) ||
	    c->gw->held_bytes + more > ALL_BODIES * longest)
		return false;
	c->asked.held_bytes += more;
	c->gw->held_bytes += more;
	if (a)
		a->held_bytes += more;
	return true;
}

bool accounts_join(struct call *c, struct account *a)
{
	if (a->calls_open >= ACCOUNT_CALLS)
		return false;
	a->calls_open++;
	c->account = a;
	return true;
}

void accounts_leave(struct call *c)
{
	if (!c->account)
		return;
	c->account->calls_open--;
	c->account->held_bytes -= c->asked.held_bytes;
	c->account = NULL;
}

static void state_timer_fires(void *ctx)
{
	accounts_dirty(ctx, true, false);
}

int accounts_add(struct gateway *gw, struct account *a, struct err *err)
{
	size_t bucket = bucket_of(a->token, name_length(a->token));

	if (gw->doc.secret && !accounts_token_ok(gw->doc.secret, a->token))
		return err_set(err, ERR_USAGE, 0, "the token is not one of this benchmark");
	for (struct account *b = gw->accounts[bucket]; b; b = b->next)
		if (strcmp(b->token, a->token) == 0)
			return err_set(err, ERR_USAGE, 0,
				       "an attempt with this token is attached already");
	a->gw = gw;
	a->state_timer = (struct loop_timer){.fire = state_timer_fires, .ctx = a};
	a->next = gw->accounts[bucket];
	gw->accounts[bucket] = a;
	return 0;
}

static void forget(struct account *a)
{
	for (struct account **at = &a->gw->tell; *at; at = &(*at)->tell_next)
		if (*at == a) {
			*at = a->tell_next;
			break;
		}
	for (struct account **at = &a->gw->write; *at; at = &(*at)->write_next)
		if (*at == a) {
			*at = a->write_next;
			break;
		}
}

static void write_file(struct account *a, int fd, struct buf *b, const char *what)
{
	size_t at = 0;

	while (fd >= 0 && at < b->len) {
		ssize_t n = write(fd, b->data + at, b->len - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			events_note(a->gw, "cannot write the %s of a trial: %s", what,
				    strerror(errno));
			break;
		}
		at += (size_t)n;
	}
	if (b->cap > OUT_MAX)
		buf_release(b);
	buf_reset(b);
}

static void write_files(struct account *a)
{
	if (a->record.len)
		write_file(a, a->record_fd, &a->record, "recording");
	if (a->log.len)
		write_file(a, a->log_fd, &a->log, "call log");
	recording_blank(a);
}

void accounts_remove(struct account *a)
{
	struct gateway *gw = a->gw;
	struct account **at = &gw->accounts[bucket_of(a->token, name_length(a->token))];

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	queue_leave_all(a);
	write_files(a);
	forget(a);
	loop_unset(gw->loop, &a->state_timer);
}

void accounts_wait(struct account *a, int waiting, int flying)
{
	int64_t now = loop_now_ms(a->gw->loop);
	bool before = a->waiting && !a->flying;

	a->waiting += waiting;
	a->flying += flying;
	a->gw->waiting += waiting;
	bool after = a->waiting && !a->flying;
	if (before == after)
		return;
	if (after)
		a->wait_from_ms = now;
	else
		a->sum.waited_ms += now - a->wait_from_ms;
	/* Most calls wait for no time at all: only what is still so before the loop waits is told. */
	accounts_dirty(a, true, false);
	events_changed(a->gw);
}

const char *accounts_limit(struct account *a)
{
	const struct control_limits *l = &a->limits;
	int64_t tokens = a->sum.tokens_input + a->sum.tokens_output;

	if (*a->sum.limit)
		return a->sum.limit;
	if (l->tokens && tokens >= l->tokens)
		snprintf(a->sum.limit, sizeof a->sum.limit, "token_limit of %lld reached (%lld)",
			 (long long)l->tokens, (long long)tokens);
	else if (l->usd > 0 && a->priced >= l->usd)
		snprintf(a->sum.limit, sizeof a->sum.limit, "cost_limit_usd of %g reached (%g)",
			 l->usd, a->priced);
	else if (l->calls && a->calls_made >= l->calls)
		snprintf(a->sum.limit, sizeof a->sum.limit, "call_limit of %lld reached (%lld)",
			 (long long)l->calls, (long long)a->calls_made);
	else
		return NULL;
	accounts_dirty(a, true, false);
	return a->sum.limit;
}

const char *accounts_budget(struct account *a)
{
	struct gateway *gw = a->gw;
	const struct setup_budget *b = &gw->doc.budget;
	const double usd = b->usd_spent + gw->usd;
	const int64_t tokens = b->tokens_spent + gw->tokens;

	if (*a->sum.limit)
		return a->sum.limit;
	if (b->usd > 0 && usd >= b->usd)
		snprintf(a->sum.limit, sizeof a->sum.limit,
			 "the benchmark's budget of %.15g USD is used up (%.4f USD)", b->usd, usd);
	else if (b->tokens && tokens >= b->tokens)
		snprintf(a->sum.limit, sizeof a->sum.limit,
			 "the benchmark's budget of %lld tokens is used up (%lld)",
			 (long long)b->tokens, (long long)tokens);
	else
		return NULL;
	if (!gw->budget_noted)
		events_note(gw, "%s: what running trials still ask is refused", a->sum.limit);
	gw->budget_noted = true;
	accounts_dirty(a, true, false);
	return a->sum.limit;
}

/* With what calls under way may still use, TOKENS and USD more are too much for A's own limits or for the budget. */
static bool would_pass(const struct account *a, int64_t tokens, double usd)
{
	const struct control_limits *l = &a->limits;
	const struct setup_budget *b = &a->gw->doc.budget;
	const int64_t own =
		a->sum.tokens_input + a->sum.tokens_output + a->reserved_tokens + tokens;
	const int64_t all = b->tokens_spent + a->gw->tokens + a->gw->reserved_tokens + tokens;
	const double own_usd = a->priced + a->reserved_usd + usd;
	const double all_usd = b->usd_spent + a->gw->usd + a->gw->reserved_usd + usd;

	return (l->tokens && own > l->tokens) || (l->usd > 0 && own_usd > l->usd) ||
	       (b->tokens && all > b->tokens) || (b->usd > 0 && all_usd > b->usd);
}

bool accounts_reserve(struct account *a, struct call *c)
{
	const struct control_limits *l = &a->limits;
	const struct setup_budget *b = &a->gw->doc.budget;
	const struct token_usage u = {.input = accounts_guess_input(a, c->asked.names.tokens)};
	const bool own = l->tokens || l->usd > 0;
	/* What a call comes to is not known before the first was answered. */
	const int64_t dearest =
		own || a->dearest_tokens ? a->dearest_tokens : a->gw->dearest_tokens;
	const double dearest_usd = own || a->dearest_tokens ? a->dearest_usd : a->gw->dearest_usd;
	double usd = usage_usd(c->price, &u, "");

	if (!own && !b->tokens && !(b->usd > 0))
		return true;
	int64_t tokens = u.input > dearest ? u.input : dearest;
	usd = usd > dearest_usd ? usd : dearest_usd;
	if (a->reserving && (!dearest || would_pass(a, tokens, usd)))
		return false;
	c->reserves = true;
	c->reserved_tokens = tokens;
	c->reserved_usd = usd > 0 ? usd : 0;
	a->reserving++;
	a->reserved_tokens += tokens;
	a->reserved_usd += c->reserved_usd;
	a->gw->reserved_tokens += tokens;
	a->gw->reserved_usd += c->reserved_usd;
	return true;
}

void accounts_unreserve(struct account *a, struct call *c)
{
	if (!c->reserves)
		return;
	c->reserves = false;
	a->reserving--;
	a->reserved_tokens -= c->reserved_tokens;
	a->reserved_usd = a->reserving ? a->reserved_usd - c->reserved_usd : 0;
	a->gw->reserved_tokens -= c->reserved_tokens;
	a->gw->reserved_usd = a->gw->reserved_tokens ? a->gw->reserved_usd - c->reserved_usd : 0;
}

/* What its calls come to, by what the last one did. */
static void learn(struct account *a, const struct call *c, const struct token_usage *u,
		  bool estimated, double usd)
{
	if (u->input + u->output > a->dearest_tokens)
		a->dearest_tokens = u->input + u->output;
	if (usd > a->dearest_usd)
		a->dearest_usd = usd;
	if (a->dearest_tokens > a->gw->dearest_tokens)
		a->gw->dearest_tokens = a->dearest_tokens;
	if (a->dearest_usd > a->gw->dearest_usd)
		a->gw->dearest_usd = a->dearest_usd;
	if (estimated || !u->input)
		return;
	a->exact_input = u->input;
	a->exact_estimate = c->asked.names.tokens;
}

/* Calls that were under way together may have passed it. */
static bool is_past_limit(const struct account *a)
{
	return (a->limits.tokens &&
		a->sum.tokens_input + a->sum.tokens_output > a->limits.tokens) ||
	       (a->limits.usd > 0 && a->priced > a->limits.usd);
}

void accounts_fail(struct account *a, const char *model, struct control_failure why)
{
	struct control_failure *f = &a->sum.failed;

	accounts_unanswered(a, why);
	if (!accounts_declared(a, model) || (*f->text && !(f->retry && !why.retry)))
		return;
	*f = why;
	snprintf(a->refused_model, sizeof a->refused_model, "%s", model);
	accounts_dirty(a, true, false);
}

void accounts_unanswered(struct account *a, struct control_failure why)
{
	a->unanswered = why;
	accounts_dirty(a, true, false);
}

/* An answer that was read to its end, or left by an agent that had read of it. */
static bool is_answered(const struct call *c)
{
	return c->answer.status >= 200 && c->answer.status < 300 && !c->answer.meter.failed &&
	       (!c->answer.cut || (c->agent.gone && c->answer.bytes));
}

void accounts_call_over(struct account *a, const struct call *c, const struct token_usage *u,
			bool estimated, double usd)
{
	struct control_state *s = &a->sum;

	s->calls++;
	s->tokens_input += u->input;
	s->tokens_cached += u->cached;
	s->tokens_cache_write += u->cache_write;
	s->tokens_output += u->output;
	s->tokens_reasoning += u->reasoning;
	s->estimated += estimated;
	if (is_answered(c)) {
		a->answered = true;
		accounts_use(a, c->provider)->key = c->turn.key_used;
		/* What was refused before, and is not any more, spoiled nothing. */
		if (strcmp(c->asked.names.model, a->refused_model) == 0)
			a->sum.failed = (struct control_failure){0};
		a->own_answered |= strcmp(c->asked.names.model, a->model) == 0;
	}
	if (usd < 0)
		a->unpriced = true;
	else
		a->priced += usd;
	learn(a, c, u, estimated, usd);
	if (a->uses_n > 1)
		model_shares_add(&s->by_model, c->asked.names.model, c->provider->name,
				 u->input + u->output, usd);
	if (is_past_limit(a))
		accounts_limit(a);
	if (*c->answer.meter.model && c->answer.metering &&
	    !strv_has(&a->models, c->answer.meter.model) && a->models.n < 32)
		strv_push(&a->models, c->answer.meter.model);
	if (c->turn.key_used && !strv_has(&a->keys, c->turn.key_used->id))
		strv_push(&a->keys, c->turn.key_used->id);
	accounts_dirty(a, true, false);
}

static void put_failure(json_t *j, const char *name, const struct control_failure *f)
{
	if (!*f->text)
		return;
	json_t *o = json_pack("{s:s,s:b}", "text", f->text, "retry", f->retry);
	if (f->refused)
		json_put_bool(o, "refused", true);
	json_put(j, name, o);
}

json_t *accounts_state(struct account *a)
{
	const struct control_state *s = &a->sum;
	json_t *j = json_object();
	int64_t waited = s->waited_ms;

	if (a->waiting && !a->flying)
		waited += loop_now_ms(a->gw->loop) - a->wait_from_ms;
	json_put_str(j, "event", "state");
	json_put_int(j, "waited_ms", waited);
	json_put_int(j, "calls", s->calls);
	json_put_int(j, "tokens_input", s->tokens_input);
	json_put_int(j, "tokens_cached", s->tokens_cached);
	json_put_int(j, "tokens_cache_write", s->tokens_cache_write);
	json_put_int(j, "tokens_output", s->tokens_output);
	json_put_int(j, "tokens_reasoning", s->tokens_reasoning);
	json_put(j, "usd", a->unpriced ? json_null() : json_real(a->priced));
	json_put_int(j, "estimated", s->estimated);
	json_put_strv(j, "models", &a->models);
	json_put_strv(j, "keys", &a->keys);
	if (*s->limit)
		json_put_str(j, "limit", s->limit);
	put_failure(j, "failed", &s->failed);
	json_put_bool(j, "answered", a->answered);
	if (!a->answered)
		put_failure(j, "unanswered", &a->unanswered);
	if (s->by_model.n)
		json_put(j, "by_model", model_shares_to_json(&s->by_model));
	if (*s->undeclared)
		json_put_str(j, "undeclared", s->undeclared);
	if (*s->diverged)
		json_put_str(j, "diverged", s->diverged);
	return j;
}

void accounts_write(struct gateway *gw)
{
	struct account *a;

	while ((a = gw->write)) {
		gw->write = a->write_next;
		a->files_dirty = false;
		write_files(a);
	}
}
