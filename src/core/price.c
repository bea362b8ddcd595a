/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/price.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/json.h"
#include "base/mem.h"

static const struct {
	const char *name;
	size_t offset;
} amounts[] = {
	{"input", offsetof(struct price_rates, input)},
	{"cached", offsetof(struct price_rates, cached)},
	{"cache_write", offsetof(struct price_rates, cache_write)},
	{"cache_write_1h", offsetof(struct price_rates, cache_write_1h)},
	{"output", offsetof(struct price_rates, output)},
};

static double *amount(struct price_rates *r, size_t i)
{
	return (double *)((char *)r + amounts[i].offset);
}

void price_rates_complete(struct price_rates *r)
{
	r->cached = r->cached < 0 ? r->input : r->cached;
	r->cache_write = r->cache_write < 0 ? r->input : r->cache_write;
	r->cache_write_1h = r->cache_write_1h < 0 ? r->cache_write : r->cache_write_1h;
}

bool price_date_is_valid(const char *date)
{
	int year, month, day;
	char rest;

	return strlen(date) == PRICE_DATE - 1 &&
	       sscanf(date, "%4d-%2d-%2d%c", &year, &month, &day, &rest) == 3 && month >= 1 &&
	       month <= 12 && day >= 1 && day <= 31;
}

void price_today(char out[PRICE_DATE])
{
	time_t now = time(NULL);
	struct tm tm;

	strftime(out, PRICE_DATE, "%Y-%m-%d", gmtime_r(&now, &tm));
}

bool price_holds(const struct price *p, const char *today)
{
	return (!*p->from || strcmp(p->from, today) <= 0) &&
	       (!*p->until || strcmp(today, p->until) <= 0);
}

static json_t *rates_to_json(const struct price_rates *r)
{
	struct price_rates copy = *r;
	json_t *j = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++)
		json_put_real(j, amounts[i].name, *amount(&copy, i));
	return j;
}

json_t *price_to_json(const struct price *p)
{
	if (!p->known)
		return json_null();
	json_t *j = rates_to_json(&p->usual), *services = json_object();
	for (size_t i = 0; i < p->services_n; i++)
		json_put_real(services, p->services[i].name, p->services[i].factor);
	if (p->above_tokens) {
		json_t *above = rates_to_json(&p->above);
		json_put_int(above, "tokens", p->above_tokens);
		json_put(j, "above", above);
	}
	json_put(j, "service", services);
	if (p->search > 0)
		json_put_real(j, "web_search", p->search);
	json_put_str(j, "date", p->date);
	if (*p->from)
		json_put_str(j, "from", p->from);
	if (*p->until)
		json_put_str(j, "until", p->until);
	return j;
}

static int rates_from_json(struct price_rates *out, const json_t *j, const char *where,
			   struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
		const json_t *v = json_object_get(j, amounts[i].name);
		*amount(out, i) = v ? json_number_value(v) : -1;
		if (v && !(json_number_value(v) >= 0))
			return err_set(err, ERR_USAGE, 0, "%s: a price is below 0", where);
	}
	if (out->input < 0 || out->output < 0)
		return err_set(err, ERR_USAGE, 0, "%s: a price needs \"input\" and \"output\"",
			       where);
	price_rates_complete(out);
	return 0;
}

int price_from_json(struct price *out, const json_t *j, const char *where, struct err *err)
{
	const json_t *above = json_object_get(j, "above");
	const char *name;
	json_t *factor;

	*out = (struct price){0};
	if (!j || json_is_null(j))
		return 0;
	if (rates_from_json(&out->usual, j, where, err) ||
	    (above && rates_from_json(&out->above, above, where, err)))
		return -1;
	out->above_tokens = json_get_int(above, "tokens", 0);
	json_object_foreach (json_object_get(j, "service"), name, factor) {
		if (out->services_n == PRICE_SERVICES)
			break;
		snprintf(out->services[out->services_n].name, sizeof out->services->name, "%s",
			 name);
		out->services[out->services_n++].factor = json_number_value(factor);
	}
	out->search = json_get_real(j, "web_search", 0);
	snprintf(out->date, sizeof out->date, "%s", json_get_str(j, "date", ""));
	snprintf(out->from, sizeof out->from, "%s", json_get_str(j, "from", ""));
	snprintf(out->until, sizeof out->until, "%s", json_get_str(j, "until", ""));
	out->known = true;
	return 0;
}
