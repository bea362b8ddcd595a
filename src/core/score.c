/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/score.h"
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

struct total_score scores_total(const struct scores *s)
{
	double weight = 0, known = 0, sum = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct score *one = &s->v[i];

		weight += one->weight;
		if (!one->known)
			continue;
		known += one->weight;
		sum += one->weight * one->value;
	}
	return (struct total_score){
		.known = known > 0,
		/* Rounding must not carry a perfect score past 1. */
		.value = known > 0 && sum < known ? sum / known : known > 0,
		.coverage = weight > 0 ? known / weight : -1,
	};
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
