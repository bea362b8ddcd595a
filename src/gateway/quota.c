/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gateway/quota.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <stdio.h>
#include <time.h>

enum { START = 16, FEW = 8, STILL_MS = 5000, UNWELL_MS = 5000 };

void quota_init(struct quota *q, int max)
{
	*q = (struct quota){.limit = START < max ? START : max, .max = max, .slow_start = true};
}

bool quota_has_room(const struct quota *q, int64_t now_ms)
{
	return now_ms >= q->shut_until_ms && q->in_flight < (int)q->limit;
}

void quota_take(struct quota *q)
{
	q->in_flight++;
}

void quota_give(struct quota *q)
{
	q->in_flight--;
}

/* In a round of good answers. Near what was too much, slowly; far below it, and once it has proved to be none, in
 * proportion. */
static double growth(const struct quota *q)
{
	const bool near = q->limit > 0.9 * q->too_much && q->limit < 1.15 * q->too_much;
	const double more = (near ? 0.05 : 0.25) * q->limit;

	return more > 1 ? more : 1;
}

void quota_clean(struct quota *q, int64_t now_ms)
{
	/* A limit that is not made use of is no evidence for a higher one. */
	if (now_ms < q->still_until_ms || q->in_flight < 0.8 * (int)q->limit)
		return;
	q->limit += q->slow_start ? 1 : growth(q) / q->limit;
	if (q->limit > q->max)
		q->limit = q->max;
}

static void shut(struct quota *q, double for_s, int64_t now_ms)
{
	if (for_s <= 0)
		return;
	int64_t until = now_ms + (int64_t)(for_s * 1000) + 1;
	if (until > q->shut_until_ms)
		q->shut_until_ms = until;
}

static void be_still(struct quota *q, int64_t until_ms)
{
	if (until_ms > q->still_until_ms)
		q->still_until_ms = until_ms;
}

void quota_too_much(struct quota *q, int64_t sent_ms, double retry_after_s, int64_t now_ms)
{
	/* Requests that were sent before the last cut only confirm it. */
	if (!q->cut_ms || sent_ms >= q->cut_ms) {
		/* What was in flight was too much; the limit may have been far above it. But where little was,
		 * that tells of a rate, and not of how many may go at once. */
		const bool used_up = q->in_flight >= 0.8 * (int)q->limit;
		const double least = used_up ? 1 : q->limit < FEW ? q->limit : FEW;
		const double from = q->in_flight < q->limit ? q->in_flight : q->limit;
		q->limit = 0.8 * from > least ? 0.8 * from : least;
		q->too_much = from > least ? from : least;
		q->cut_ms = now_ms;
	}
	q->slow_start = false;
	be_still(q, now_ms + STILL_MS + (retry_after_s > 0 ? (int64_t)(1000 * retry_after_s) : 0));
	shut(q, retry_after_s, now_ms);
}

void quota_unwell(struct quota *q, double retry_after_s, int64_t now_ms)
{
	be_still(q, now_ms + UNWELL_MS);
	shut(q, retry_after_s, now_ms);
}

void quota_report(struct quota *q, const struct quota_report *r, int64_t now_ms)
{
	if (r->remaining_requests == 0)
		shut(q, r->reset_requests_s, now_ms);
	if (r->remaining_tokens == 0)
		shut(q, r->reset_tokens_s, now_ms);
}

static double until(time_t at, int64_t wall_ms)
{
	double s = (double)at - (double)wall_ms / 1000;

	return s > 0 ? s : 0;
}

int64_t quota_date_ms(const char *value)
{
	struct tm tm = {0};

	return strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &tm) ? (int64_t)timegm(&tm) * 1000 : 0;
}

double quota_retry_after(const char *value, int64_t wall_ms)
{
	char *end;
	double s = strtod(value, &end);

	if (end != value && *end == '\0')
		return s >= 0 && s < 1e9 ? s : -1;
	int64_t at_ms = quota_date_ms(value);
	return at_ms ? until(at_ms / 1000, wall_ms) : -1;
}

/* "1h2m3.5s" and "20ms"; a bare number is seconds. */
static double duration(const char *s)
{
	static const struct {
		const char *unit;
		double s;
	} units[] = {{"ms", 1e-3}, {"h", 3600}, {"m", 60}, {"s", 1}};
	double sum = 0;

	while (*s) {
		char *end;
		double v = strtod(s, &end);
		size_t u = 0, n = sizeof units / sizeof *units;
		if (end == s || !(v >= 0) || v > 1e9)
			return -1;
		if (!*end)
			return sum + v;
		while (u < n && strncmp(end, units[u].unit, strlen(units[u].unit)))
			u++;
		if (u == n)
			return -1;
		sum += v * units[u].s;
		s = end + strlen(units[u].unit);
	}
	return sum;
}

static double rfc3339(const char *value, int64_t wall_ms)
{
	struct tm tm = {0};
	const char *rest = strptime(value, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!rest || !strchr("Z.", *rest))
		return -1;
	return until(timegm(&tm) + (*rest == '.'), wall_ms);
}

double quota_reset(const char *value, int64_t wall_ms)
{
	double s = *value ? duration(value) : -1;

	return s >= 0 ? s : rfc3339(value, wall_ms);
}

void quota_header(struct quota_report *r, const char *name, const char *value, int64_t wall_ms)
{
	static const char *const prefixes[] = {"x-ratelimit-", "anthropic-ratelimit-"};
	char what[40];
	size_t i = 0, n;

	while (i < 2 && strncasecmp(name, prefixes[i], strlen(prefixes[i])))
		i++;
	if (i == 2)
		return;
	/* x-ratelimit-remaining-requests, anthropic-ratelimit-requests-remaining */
	n = (size_t)snprintf(what, sizeof what, "%s", name + strlen(prefixes[i]));
	if (n >= sizeof what)
		return;
	bool requests = strcasestr(what, "requests"),
	     tokens = strcasecmp(what, "remaining-tokens") == 0 ||
		      strcasecmp(what, "tokens-remaining") == 0 ||
		      strcasecmp(what, "reset-tokens") == 0 ||
		      strcasecmp(what, "tokens-reset") == 0;
	if (strcasestr(what, "remaining") && *value >= '0' && *value <= '9') {
		if (requests)
			r->remaining_requests = strtoll(value, NULL, 10);
		else if (tokens)
			r->remaining_tokens = strtoll(value, NULL, 10);
	} else if (strcasestr(what, "reset")) {
		if (requests)
			r->reset_requests_s = quota_reset(value, wall_ms);
		else if (tokens)
			r->reset_tokens_s = quota_reset(value, wall_ms);
	}
}

int64_t quota_back_off_ms(int n, double random)
{
	double ms = 30000;

	if (n < 6)
		ms = 500 << n;
	return (int64_t)(ms / 2 + ms / 2 * random);
}
