/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * price.h -- what a provider asks for the tokens of a model, with its JSON form.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

enum { PRICE_SERVICES = 6, PRICE_DATE = 11 };

/* USD per million tokens. */
struct price_rates {
	double input, cached, cache_write, cache_write_1h, output;
};

struct price {
	bool known;
	struct price_rates usual;
	/* A prompt of more tokens costs ABOVE, the whole request of it; 0: the length makes no difference. */
	int64_t above_tokens;
	struct price_rates above;
	/* Of a service tier that the answer names ("flex"): everything costs so many times as much. */
	struct {
		char name[16];
		double factor;
	} services[PRICE_SERVICES];
	size_t services_n;
	double search;	       /* USD for one search of the web by the provider */
	char date[PRICE_DATE]; /* "2026-11-01": when it was looked up; "" not said */
	char from[PRICE_DATE],
		until[PRICE_DATE]; /* the first and the last day it holds; "": no such */
};

/* An amount that R does not state is negative: a read of the cache then costs the input, a write too, and one for an hour
 * what a write does. */
void price_rates_complete(struct price_rates *r);
/* "2026-11-01" */
bool price_date_is_valid(const char *date);
/* The day it is, in UTC. */
void price_today(char out[PRICE_DATE]);
bool price_holds(const struct price *p, const char *today);

/* New reference; null for a price that is not known. */
json_t *price_to_json(const struct price *p);
/* J may be null. ERR_USAGE names WHERE. */
int price_from_json(struct price *out, const json_t *j, const char *where,
		    struct err *err) MUST_CHECK;
