/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * quota.h -- how many requests one key may have in flight for one model, found out by trying: slow start
 * (one more for each good answer, so that it doubles in a round of them); a cut by a fifth when the provider says that it
 * is too much, once for all requests that were under way; then growth by a quarter in a round, and by one, or a
 * twentieth, near what was too much last; no growth while it is unwell. Pure: the time is given. Milliseconds of
 * clock_mono_ms.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct quota {
	double limit;
	double too_much; /* in flight when the last cut was made; 0: none */
	int max, in_flight;
	bool slow_start;
	int64_t cut_ms;		/* of the last cut; 0: none */
	int64_t still_until_ms; /* no growth before */
	int64_t shut_until_ms;	/* nothing may be sent before */
};

/* What an answer's headers say of the quota. */
struct quota_report {
	int64_t remaining_requests, remaining_tokens; /* -1: not said */
	double reset_requests_s, reset_tokens_s;      /* negative: not said */
};
#define QUOTA_REPORT_INIT                                                                          \
	{                                                                                          \
		-1, -1, -1, -1                                                                     \
	}

void quota_init(struct quota *q, int max);
bool quota_has_room(const struct quota *q, int64_t now_ms);
void quota_take(struct quota *q);
void quota_give(struct quota *q);
/* A good answer began. */
void quota_clean(struct quota *q, int64_t now_ms);
/* 429 or 529 to a request sent at SENT_MS; RETRY_AFTER_S negative: not said. */
void quota_too_much(struct quota *q, int64_t sent_ms, double retry_after_s, int64_t now_ms);
/* 5xx, or no answer. */
void quota_unwell(struct quota *q, double retry_after_s, int64_t now_ms);
/* Nothing left until a reset: shut until then. */
void quota_report(struct quota *q, const struct quota_report *r, int64_t now_ms);

/* A header's value: "30", "1.5", or an HTTP date, against WALL_MS. Negative: neither. */
double quota_retry_after(const char *value, int64_t wall_ms);
/* A header of HTTP that is a date; 0: it is none. */
int64_t quota_date_ms(const char *value);
/* "12", "1s", "6m0s", "20ms", "1h2m", or a date of RFC 3339. Negative: none of them. */
double quota_reset(const char *value, int64_t wall_ms);
/* A header of an answer; those that say nothing of the quota change nothing. */
void quota_header(struct quota_report *r, const char *name, const char *value, int64_t wall_ms);
/* Milliseconds before try N + 1 (N from 0), with a RANDOM in [0, 1): 0.5 s doubling to 30 s, half of it
 * by chance. */
int64_t quota_back_off_ms(int n, double random);
