/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A benchmark names a model, and another may answer: an alias renames it, a provider moved it, a coding agent asks for
 * one it likes better.
 */
#include "analysis/answers.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

static void add(json_t *to, const char *model, int64_t n)
{
	json_put_int(to, model, json_get_int(to, model, 0) + n);
}

const char *summary_answer(const struct summary_row *row)
{
	const struct trial_result *r = &row->status->result;
	const char *planned = row->status->shared->setting->model_id;

	if (!row->status->has_result)
		return "";
	if (r->origin->served && *r->origin->served)
		return r->origin->served;
	return r->calls > 0 && planned ? planned : "";
}

void answers_make(struct summary *s)
{
	s->answered = xcalloc(s->conditions_n + 1, sizeof(json_t *));
	for (size_t i = 0; i < s->conditions_n; i++)
		s->answered[i] = json_object();
	for (size_t i = 0; i < s->rows_n; i++) {
		const char *model = summary_answer(&s->rows[i]);
		if (*model)
			add(s->answered[s->rows[i].condition], model, 1);
	}
}

void answers_release(struct summary *s)
{
	for (size_t i = 0; s->answered && i < s->conditions_n; i++)
		json_decref(s->answered[i]);
	free(s->answered);
}

/* One of those that OBJ has most of, and which is not in BUT. */
static const char *most(const json_t *obj, const json_t *but)
{
	const char *best = NULL, *model;
	json_t *n;

	json_object_foreach ((json_t *)obj, model, n)
		if (!json_object_get(but, model) &&
		    (!best || json_integer_value(n) > json_get_int(obj, best, 0)))
			best = model;
	return best;
}

json_t *summary_answered_by(const struct summary *s, const struct summary_group *g)
{
	AUTO(json) json_t *all = json_object();
	json_t *sorted = json_object(), *n;
	const char *model;

	for (size_t i = 0; i < s->conditions_n; i++) {
		const struct summary_condition *c = &s->conditions[i];
		if (g->level == GROUP_BY)
			continue;
		if (g->level != GROUP_ALL && g != &s->groups[c->model_group] &&
		    (c->group < 0 || g != &s->groups[c->group]))
			continue;
		json_object_foreach (s->answered[i], model, n)
			add(all, model, json_integer_value(n));
	}
	while ((model = most(all, sorted)))
		json_put_int(sorted, model, json_get_int(all, model, 0));
	return sorted;
}
