/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What it means that a provider refuses, fails or stays silent: whose fault that is, for how long it is waited for, and
 * who is told.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "gateway/internal.h"

enum {
	FIRST_MS = 120000, /* a provider that has never answered is waited for no longer */
};

static int64_t now_ms(const struct call *c)
{
	return loop_now_ms(c->gw->loop);
}

static const char *model_of(const struct call *c)
{
	return *c->asked.names.model ? c->asked.names.model : c->asked.target.data;
}

/* What is between the agent and an answer, in one line. */
void refusal_describe_shut(struct call *c, char *out, size_t size)
{
	int status = c->answer.status ? c->answer.status : c->turn.pool->last_status;
	const char *words = c->answer.status ? provider_error_words(&c->try.said) : "";

	if (status)
		snprintf(out, size, "%.60s answers %d to %.60s, for too long%s%.120s",
			 c->provider->name, status, model_of(c), *words ? ": " : "", words);
	else
		snprintf(out, size, "%.60s cannot be reached: %.170s", c->provider->name,
			 *c->error ? c->error : "it stays shut");
}

/* What another attempt would meet as well, and somebody has to mend. */
static void describe_refusal(struct call *c, enum provider_refusal why, char *out, size_t size)
{
	const char *words = provider_error_words(&c->try.said);
	size_t n = (size_t)snprintf(out, size, "%.60s: %d%s%.110s", c->provider->name,
				    c->answer.status, *words ? ": " : "", words);

	if (why != REFUSAL_MODEL || n >= size)
		return;
	AUTO(buf) struct buf url = BUF_INIT;
	endpoint_url(&url, c->provider->base_url, c->provider->paths[c->asked.endpoint.api],
		     &c->asked.endpoint, c->asked.target.data, c->asked.target.len);
	snprintf(out + n, size - n, " (%s %.110s)", c->asked.method, url.data);
}

void refusal_say_shut(struct call *c)
{
	struct pool *p = c->turn.pool;
	int64_t now = now_ms(c);
	char for_long[16], since[8], again[48] = "";
	const char *words = provider_error_words(&c->try.said);
	const time_t began = (time_t)((clock_wall_ms() - (now - p->shut_ms)) / 1000);
	struct tm tm;

	if (p->said_ms && now - p->said_ms < 60000)
		return;
	p->said_ms = now;
	clock_human(now - p->shut_ms, for_long);
	strftime(since, sizeof since, "%H:%M", localtime_r(&began, &tm));
	if (c->try.retry_after_s > 0) {
		char span[16];
		clock_human((int64_t)(1000 * c->try.retry_after_s), span);
		snprintf(again, sizeof again, ", it is asked again in %s", span);
	}
	if (c->answer.status)
		events_note(c->gw, "%s answers %d for %s%s%s: waiting since %s (%s)%s",
			    c->provider->name, c->answer.status, p->model, *words ? ": " : "",
			    words, since, for_long, again);
	else
		events_note(c->gw, "%s does not answer for %s (%s): waiting since %s (%s)%s",
			    c->provider->name, p->model, c->error, since, for_long, again);
}

/* How long a provider may stay shut: one that is only busy, or was well before, may come back. */
int64_t refusal_patience_ms(const struct call *c)
{
	const struct pool *p = c->turn.pool;
	int64_t shut_ms = c->gw->doc.shut_ms;
	bool is_busy = p->last_status == 429 || p->last_status == 529;

	return p->good_ms || is_busy || shut_ms < FIRST_MS ? shut_ms : FIRST_MS;
}

/* The answer that the agent had, or has, is none: whose fault is that? */
void refusal_tell(struct call *c, enum provider_refusal why)
{
	struct control_failure f = {
		.refused = why != REFUSAL_NONE,
		.retry = why == REFUSAL_NONE && provider_is_busy(c->answer.status) &&
			 !provider_error_is_too_large(&c->try.said, c->answer.status)};
	struct account *a = c->account;

	if (!a || c->asked.endpoint.kind != ENDPOINT_GENERATE)
		return;
	describe_refusal(c, why, f.text, sizeof f.text);
	/* Of a key and a model that were good before, an agent may get such an answer by what it asks. */
	if (why == REFUSAL_SPENT || c->answer.status == 401 || (f.refused && !a->own_answered))
		accounts_fail(a, c->asked.names.model, f);
	else
		accounts_unanswered(a, f);
}

/* Its status was good, and what it says is that it failed. */
bool refusal_inside(struct call *c)
{
	const struct usage_meter *m = &c->answer.meter;
	struct provider_error said = {0};
	struct control_failure f = {.retry = true};

	if (!c->answer.metering || !m->failed)
		return false;
	snprintf(said.message, sizeof said.message, "%s", m->failure);
	snprintf(said.codes, sizeof said.codes, "%s", m->failure_code);
	snprintf(c->error, sizeof c->error, "an error inside the answer%s%.100s%s%.160s",
		 *m->failure_code ? ", " : "", m->failure_code, *m->failure ? ": " : "",
		 m->failure);
	snprintf(f.text, sizeof f.text, "%.60s: %.190s", c->provider->name, c->error);
	f.refused = provider_refusal(&said, 429) == REFUSAL_SPENT;
	if (c->account && f.refused)
		accounts_fail(c->account, c->asked.names.model, f);
	else if (c->account)
		accounts_unanswered(c->account, f);
	return true;
}

/* What the provider refused with our addition, it took without: so it goes on. */
void refusal_learn_plain(struct call *c)
{
	struct pool *p = c->turn.pool;

	if (!c->went_plain || p->plain || c->answer.status >= 300)
		return;
	p->plain = true;
	events_note(c->gw,
		    "%s refuses stream_options for %s: what its streams use is estimated where it "
		    "does not say so unasked",
		    c->provider->name, p->model);
}

/* This key is refused or spent, while another may be let in: true, the call is to be made with that. The last
 * key stays in use, so that what agents see is the provider's own word. */
bool refusal_set_aside(struct call *c, struct lane *l, enum provider_refusal why)
{
	if (why != REFUSAL_KEY && why != REFUSAL_SPENT)
		return false;
	l->refused = queue_has_other(c);
	if (!l->noted)
		events_note(c->gw, "%s refuses %s%s for %s (%.120s)%s", c->provider->name,
			    l->key ? "key " : "requests without a key", l->key ? l->key->id : "",
			    c->turn.pool->model, c->error,
			    l->refused ? "; it is set aside" : "; there is no other");
	l->noted = true;
	return l->refused;
}

/* It is larger than the rate limit itself. A server that answers one request with the same error, time and again, and others well, will not be mended by
 * patience: there is something about the request that it does not say better. */
bool refusal_of_this_call(struct call *c)
{
	enum { TIMES = 3, SHARE = 45 }; /* of the patience: 20 s of a quarter of an hour */
	const char *words = provider_error_words(&c->try.said);

	if (provider_error_is_too_large(&c->try.said, c->answer.status))
		return true;
	if (c->answer.status != 500 || !*words || strchr("<", c->try.said.start[0]))
		return false;
	c->same = strcmp(words, c->same_words) ? 1 : c->same + 1;
	snprintf(c->same_words, sizeof c->same_words, "%s", words);
	return c->same >= TIMES && c->turn.pool->failing <= 1 &&
	       now_ms(c) - c->times.fail_ms >= c->gw->doc.shut_ms / SHARE;
}
