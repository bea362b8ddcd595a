/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/mem.h"

struct score *scores_add(struct scores *s, const char *id, double weight)
{
	GROW(s->v, s->n, s->cap);
	s->v[s->n] = (struct score){.id = xstrdup(id), .weight = weight};
	return &s->v[s->n++];
}

struct score *scores_find(const struct scores *s, const char *id)
{
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].id, id) == 0)
			return &s->v[i];
	return NULL;
}

void scores_release(struct scores *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].id);
		free(s->v[i].kind);
		free(s->v[i].reason);
	}
	free(s->v);
	*s = (struct scores){0};
}

void score_set(struct score *s, const char *kind, double value)
{
	free(s->kind);
	free(s->reason);
	s->kind = xstrdup(kind);
	s->reason = NULL;
	s->known = true;
	s->value = value;
}

/* SUM of WEIGHT: rounding must not carry a perfect score past 1, nor negative weights below 0. */
static double share(double sum, double weight)
{
	if (!(sum > 0) || !(weight > 0))
		return 0;
	return sum < weight ? sum / weight : 1;
}

struct total_score scores_total(const struct scores *s, enum scoring how)
{
	double all = 0, known = 0;		 /* of weights without their signs */
	double positive = 0, known_positive = 0; /* of the positive ones */
	double sum = 0, worst = 0, best = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct score *one = &s->v[i];
		double gain = one->weight > 0 ? one->weight : 0;

		all += fabs(one->weight);
		positive += gain;
		if (!one->known) {
			best += gain;
			worst += one->weight - gain;
			continue;
		}
		known += fabs(one->weight);
		known_positive += gain;
		sum += one->weight * one->value;
	}
	return (struct total_score){
		.known = known_positive > 0,
		.value = share(sum, how == SCORING_STRICT ? positive : known_positive),
		.coverage = all > 0 ? known / all : -1,
		.low = all > 0 ? share(sum + worst, positive) : -1,
		.high = all > 0 ? share(sum + best, positive) : -1,
	};
}

json_t *score_bounds_to_json(double low, double high)
{
	return low < 0 ? json_null() : json_pack("[f, f]", low, high);
}

json_t *scores_to_json(const struct scores *s)
{
	json_t *array = json_array();

	for (size_t i = 0; i < s->n; i++) {
		const struct score *one = &s->v[i];
		json_t *j = json_object();

		json_put_str(j, "id", one->id);
		json_put_str(j, "kind", one->kind);
		json_put_real(j, "weight", one->weight);
		json_put(j, "value", one->known ? json_real(one->value) : json_null());
		json_put_str(j, "reason", one->reason);
		json_array_append_new(array, j);
	}
	return array;
}

int scores_from_json(struct scores *s, const json_t *array, const char *where, struct err *err)
{
	const json_t *j;
	size_t i;

	json_array_foreach (array, i, j) {
		const json_t *value = json_object_get(j, "value");
		const char *id;

		if (json_need_str(j, "id", where, &id, err))
			return err_wrap(err, "\"grades\"");
		struct score *one = scores_add(s, id, json_get_real(j, "weight", 0));
		one->kind = xstrdup(json_get_str(j, "kind", NULL));
		one->reason = xstrdup(json_get_str(j, "reason", NULL));
		one->known = json_is_number(value);
		one->value = json_number_value(value);
	}
	return 0;
}

void scores_values_to_json(const struct scores *s, json_t *obj)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].known)
			json_put_real(obj, s->v[i].id, s->v[i].value);
}

int scores_values_from_json(struct scores *s, const json_t *obj, const char *where, struct err *err)
{
	const char *id;
	json_t *v;

	json_object_foreach ((json_t *)obj, id, v) {
		if (!json_is_number(v))
			return err_set(err, ERR_USAGE, 0,
				       "%s: \"scores\" holds something that is no number", where);
		struct score *one = scores_add(s, id, 0);
		one->known = true;
		one->value = json_number_value(v);
	}
	return 0;
}
