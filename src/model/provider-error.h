/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * provider-error.h -- what a provider says when it does not answer: its words, read out of an error of any shape while
 * it passes, and whether asking again may mend it. Pure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "net/json-scan.h"

struct provider_error {
	char message
		[JSON_SCAN_TEXT];   /* its words, printable and on one line; "" before they came */
	char codes[256];	    /* every code, type and status it names, after a space each */
	char start[JSON_SCAN_TEXT]; /* of the text, for errors that are no JSON */
	size_t start_len;
	struct json_scan scan;
};

/* E must not move afterwards. */
void provider_error_init(struct provider_error *e);
void provider_error_feed(struct provider_error *e, const char *data, size_t n);
/* Its words as far as they came; "" when it had none. */
const char *provider_error_words(struct provider_error *e);

/* Why a provider does not answer. */
enum provider_refusal {
	REFUSAL_NONE, /* it may answer another time, or another request */
	REFUSAL_KEY,  /* the key is not good */
	REFUSAL_SPENT, /* the account is empty, or its quota is used up for longer than a wait is worth */
	REFUSAL_MODEL, /* it knows no such model, or has none at this address */
};

enum provider_refusal provider_refusal(const struct provider_error *e, int status);
/* The words of a 429 say that this request is larger than the rate limit itself: no waiting mends that, and no other
 * request is meant. */
bool provider_error_is_too_large(const struct provider_error *e, int status);
/* An answer with STATUS asks for another try: it is too busy, or not well. */
bool provider_is_busy(int status);
