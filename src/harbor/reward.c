/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "harbor/reward.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

static void fail(struct reward *out, const char *error, const char *what)
{
	out->error = error;
	snprintf(out->why, sizeof out->why, "%s", what);
}

static bool is_blank(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isspace((unsigned char)text[i]))
			return false;
	return true;
}

static void take_values(struct reward *out, json_t *doc)
{
	json_t *values = json_object(), *v;
	const char *key;

	json_object_foreach (doc, key, v) {
		const double n = json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
		if (!json_is_boolean(v) && !json_is_number(v)) {
			fail(out, REWARD_UNREADABLE, "reward.json has a value that is no number");
			json_decref(values);
			return;
		}
		json_object_set_new(values, key,
				    json_is_real(v) ? json_real(n) : json_integer((json_int_t)n));
	}
	out->values = values;
}

static void read_json(struct reward *out, const char *text, size_t n)
{
	json_error_t error;

	if (is_blank(text, n)) {
		fail(out, REWARD_EMPTY, "reward.json is empty");
		return;
	}
	/* 1e309 and NaN are refused by the parser itself. */
	AUTO(json) json_t *doc = json_loadb(text, n, JSON_DECODE_ANY, &error);
	if (!doc)
		fail(out, REWARD_UNREADABLE,
		     "reward.json is no JSON, or a number in it not finite");
	else if (!json_is_object(doc))
		fail(out, REWARD_UNREADABLE, "reward.json is no object of numbers");
	else
		take_values(out, doc);
}

/* As Python's float() has it: white space around it, an underscore between digits. */
static bool to_number(const char *text, size_t n, double *out)
{
	AUTO(free) char *plain = xmalloc(n + 1);
	size_t len = 0;
	char *end;

	for (size_t i = 0; i < n; i++) {
		const bool between = i && i + 1 < n && isdigit((unsigned char)text[i - 1]) &&
				     isdigit((unsigned char)text[i + 1]);
		if (text[i] == '_' && between)
			continue;
		plain[len++] = text[i];
	}
	while (len && isspace((unsigned char)plain[len - 1]))
		len--;
	plain[len] = '\0';
	const char *from = plain;
	while (isspace((unsigned char)*from))
		from++;
	if (!*from || strpbrk(from, "xXpP") || strlen(plain) != len)
		return false;
	*out = strtod(from, &end);
	return !*end && isfinite(*out);
}

static void read_text(struct reward *out, const char *text, size_t n)
{
	double value;

	if (is_blank(text, n)) {
		fail(out, REWARD_EMPTY, "reward.txt is empty");
		return;
	}
	if (!to_number(text, n, &value)) {
		fail(out, REWARD_UNREADABLE, "reward.txt is no finite number");
		return;
	}
	out->values = json_object();
	json_object_set_new(out->values, "reward", json_real(value));
}

void reward_read(struct reward *out, const char *json, size_t json_n, const char *txt, size_t txt_n)
{
	*out = (struct reward){0};
	if (json)
		read_json(out, json, json_n);
	else if (txt)
		read_text(out, txt, txt_n);
	else
		fail(out, REWARD_NOT_FOUND, "the tests left neither reward.json nor reward.txt");
	if (out->values && !json_object_size(out->values)) {
		json_decref(out->values);
		out->values = NULL;
		fail(out, REWARD_UNREADABLE, "reward.json has no keys");
	}
}

void reward_release(struct reward *r)
{
	json_decref(r->values);
	*r = (struct reward){0};
}

static bool reaches(const json_t *values, const char *key, const json_t *least)
{
	const json_t *v = json_object_get(values, key);

	return v && json_number_value(v) >= json_number_value(least);
}

bool reward_passes(const json_t *values, const json_t *gate)
{
	const json_t *least;
	const char *key;

	if (json_is_number(gate))
		return reaches(values, "reward", gate);
	json_object_foreach ((json_t *)gate, key, least)
		if (!reaches(values, key, least))
			return false;
	return true;
}

json_t *reward_of_steps(json_t *const *values, size_t n, const char *strategy)
{
	json_t *out = json_object(), *v;
	const char *key;
	size_t with = 0;

	for (size_t i = 0; i < n; i++)
		with += values[i] != NULL;
	if (!with || !strcmp(strategy, "final")) {
		json_decref(out);
		return n && values[n - 1] ? json_incref(values[n - 1]) : NULL;
	}
	for (size_t i = 0; i < n; i++)
		json_object_foreach (values[i], key, v)
			json_object_set_new(out, key,
					    json_real(json_number_value(json_object_get(out, key)) +
						      json_number_value(v)));
	json_object_foreach (out, key, v)
		json_real_set(v, json_real_value(v) / (double)with);
	return out;
}

bool reward_total(const json_t *values, const char *chosen, double *out, bool *mean)
{
	const json_t *v = json_object_get(values, chosen && *chosen ? chosen : "reward");
	const char *key;
	double sum = 0;

	*mean = false;
	if (v) {
		*out = json_number_value(v);
		return true;
	}
	if ((chosen && *chosen) || !json_object_size(values))
		return false;
	json_object_foreach ((json_t *)values, key, v)
		sum += json_number_value(v);
	*out = sum / (double)json_object_size(values);
	*mean = json_object_size(values) > 1;
	return true;
}

void reward_grade(struct scores *out, const json_t *values, const char *chosen,
		  struct reward_score *got)
{
	const char *key, *one = chosen && *chosen ? chosen : "reward";
	const bool known = values && reward_total(values, chosen, &got->total, &got->mean);
	const json_t *v;

	got->scored = known && got->total >= 0 && got->total <= 1;
	*got->why = '\0';
	if (values && !known)
		snprintf(got->why, sizeof got->why, "unscored: no reward is called \"%.60s\"",
			 chosen);
	else if (known && !got->scored)
		snprintf(got->why, sizeof got->why, "unscored: the reward %.15g is outside of 0..1",
			 got->total);
	json_object_foreach ((json_t *)values, key, v) {
		const double n = json_number_value(v);
		struct score *score = scores_add(
			out, key,
			got->mean || !strcmp(key, one) || json_object_size(values) == 1 ? 1 : 0);
		if (n >= 0 && n <= 1)
			score_set(score, "verifier", n);
		else
			score->reason = xasprintf("%.15g is outside of 0..1", n);
	}
}
