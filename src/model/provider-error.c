/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/provider-error.h"
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

static bool is_one_of(const char *path, const char *const *names, size_t n)
{
	/* Gemini streams its errors as a list of one. */
	if (strncmp(path, "[].", 3) == 0)
		path += 3;
	for (size_t i = 0; i < n; i++)
		if (strcmp(path, names[i]) == 0)
			return true;
	return false;
}

/* Escapes of a single character are resolved, \\uXXXX stands as it came. */
static void take_words(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n < size - 1; text++) {
		char ch = *text;
		if (ch == '\\' && text[1] && text[1] != 'u')
			ch = *++text == 'n' || *text == 't' || *text == 'r' ? ' ' : *text;
		out[n++] = ch >= 32 && ch < 127 ? ch : ch == '\n' || ch == '\t' ? ' ' : '?';
	}
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

static void on_scalar(void *ctx, const char *path, enum json_scan_kind kind, const char *text)
{
	static const char *const words[] = {"error.message", "message",	       "detail",
					    "error",	     "detail.message", "errors.[].message",
					    "msg",	     "error_msg"};
	static const char *const codes[] = {
		"error.code",
		"error.type",
		"error.status",
		"code",
		"type",
		"error.details.error_code",
		"error.details.[].reason",
		"error.details.[].violations.[].quotaId",
	};
	struct provider_error *e = ctx;

	if (kind == JSON_SCAN_STRING && !*e->message && is_one_of(path, words, ARRAY_SIZE(words)))
		take_words(e->message, sizeof e->message, text);
	size_t at = strlen(e->codes);
	if (kind != JSON_SCAN_EMPTY && is_one_of(path, codes, ARRAY_SIZE(codes)))
		snprintf(e->codes + at, sizeof e->codes - at, " %s", text);
}

void provider_error_init(struct provider_error *e)
{
	e->message[0] = e->codes[0] = e->start[0] = '\0';
	e->start_len = 0;
	json_scan_init(&e->scan, on_scalar, e);
}

void provider_error_feed(struct provider_error *e, const char *data, size_t n)
{
	size_t room = sizeof e->start - 1 - e->start_len, more = n < room ? n : room;

	memcpy(e->start + e->start_len, data, more);
	e->start_len += more;
	e->start[e->start_len] = '\0';
	json_scan_feed(&e->scan, data, n);
}

const char *provider_error_words(struct provider_error *e)
{
	if (!*e->message && e->start_len && !strchr("{[<", e->start[0]))
		take_words(e->message, sizeof e->message, e->start);
	return e->message;
}

static bool says(const char *text, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcasestr(text, words[i]))
			return true;
	return false;
}

/* An agent may have its own words repeated in an error, but not in a code, nor where a message begins. */
static bool is_spent(const struct provider_error *e, int status)
{
	static const char *const codes[] = {"insufficient_quota",
					    "billing",
					    "insufficient_balance",
					    "credit_balance_too_low",
					    "quota_exceeded",
					    "exceeded_current_quota",
					    "PerDay",
					    "insufficient_credit",
					    "spend_limit_reached",
					    " 1113",  /* Z.ai: no balance, */
					    " 1308",  /* the plan's hours, */
					    " 1310"}; /* its week or month are used up */
	static const char *const words[] = {"insufficient balance",
					    "no balance",
					    "credit balance",
					    "out of credits",
					    "spending limit",
					    "per day",
					    "(TPD)",
					    "(RPD)",
					    "free-models-per-day",
					    "daily limit",
					    "monthly limit",
					    "billing details",
					    "recharge",
					    "used all available credits"};
	static const char balance[] = "Your credit balance is too low";

	if (status == 400)
		return strncmp(e->message, balance, sizeof balance - 1) == 0;
	if (status != 403 && status != 429)
		return status == 402;
	if (says(e->codes, codes, ARRAY_SIZE(codes)))
		return true;
	if (strcasestr(e->message, "prepayment credits"))
		return true;
	/* Google speaks of "billing details" whichever of its quotas is meant: the quota's name tells. */
	return !strstr(e->codes, "RESOURCE_EXHAUSTED") &&
	       says(e->message, words, ARRAY_SIZE(words));
}

static bool is_bad_key(const struct provider_error *e, int status)
{
	/* Google's answer to a key that it does not know. */
	return status == 401 || (status == 400 && strstr(e->codes, "API_KEY_INVALID"));
}

/* Of what was asked, not of whose key it was. */
static bool is_about_content(const struct provider_error *e)
{
	static const char *const words[] = {"flagged", "moderation", "content policy",
					    "content_policy", "content_filter"};

	return says(e->message, words, ARRAY_SIZE(words)) ||
	       says(e->codes, words, ARRAY_SIZE(words));
}

enum provider_refusal provider_refusal(const struct provider_error *e, int status)
{
	if (is_spent(e, status))
		return REFUSAL_SPENT;
	if (is_bad_key(e, status) || (status == 403 && !is_about_content(e)))
		return REFUSAL_KEY;
	return status == 404 || status == 405 || (status >= 300 && status < 400) ? REFUSAL_MODEL
										 : REFUSAL_NONE;
}

/* "Limit 30,000, Requested 52,017", without what was used before. */
static bool asks_too_much(const char *message)
{
	const char *limit = strstr(message, "Limit "), *asked = strstr(message, "Requested ");
	int64_t n[2] = {0, 0};
	const char *at[2] = {limit ? limit + 6 : "", asked ? asked + 10 : ""};

	for (int i = 0; i < 2; i++)
		for (; (*at[i] >= '0' && *at[i] <= '9') || *at[i] == ','; at[i]++)
			if (*at[i] != ',' && n[i] < 1000000000000)
				n[i] = 10 * n[i] + (*at[i] - '0');
	return n[0] && n[1] > n[0];
}

bool provider_error_is_too_large(const struct provider_error *e, int status)
{
	static const char *const words[] = {"Request too large", "required for long context"};

	return status == 429 &&
	       (says(e->message, words, ARRAY_SIZE(words)) || asks_too_much(e->message));
}

bool provider_is_busy(int status)
{
	return status == 408 || status == 409 || status == 425 || status == 429 ||
	       (status >= 500 && status != 501 && status != 505);
}
