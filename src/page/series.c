/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "page/series.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

static bool is_one_benchmark(const struct summary *s)
{
	for (size_t i = 1; i < s->conditions_n; i++)
		if (strcmp(s->conditions[i].rollout->ref.name,
			   s->conditions[0].rollout->ref.name) != 0)
			return false;
	return true;
}

static bool is_one_rollout(const struct summary *s)
{
	for (size_t i = 1; i < s->conditions_n; i++)
		if (s->conditions[i].rollout != s->conditions[0].rollout)
			return false;
	return true;
}

/* "baseline", else "20250824__12-34-56"; with the benchmark where there are several. */
static void put_rollout(struct buf *out, const struct rollout *r, bool with_name)
{
	const char *which = r->tags.n ? r->tags.v[r->tags.n - 1] : r->ref.stamp;

	if (with_name)
		buf_addf(out, "%s@", r->ref.name);
	buf_adds(out, which);
}

static char *name_of(const struct summary *s, const struct summary_condition *c)
{
	struct buf name = BUF_INIT;

	if (*c->model)
		buf_adds(&name, c->model);
	if (s->labels_n > 1 && *c->label)
		buf_addf(&name, "%s%s", name.len ? ", " : "", c->label);
	if (s->agents_n > 1 && *c->agent)
		buf_addf(&name, "%s%s", name.len ? ", " : "", c->agent);
	if (!name.len)
		buf_adds(&name, *c->agent ? c->agent : "(no model)");
	if (!is_one_rollout(s)) {
		buf_adds(&name, " · ");
		put_rollout(&name, c->rollout, !is_one_benchmark(s));
	}
	return buf_detach(&name);
}

void series_make(struct series_list *out, const struct summary *s)
{
	*out = (struct series_list){.summary = s, .n = s->conditions_n};
	out->v = xcalloc(out->n + 1, sizeof *out->v);
	for (size_t i = 0; i < out->n; i++) {
		const struct summary_condition *c = &s->conditions[i];
		int group = c->group >= 0 ? c->group : c->model_group;
		out->v[i] = (struct series){name_of(s, c), c, &s->groups[group]};
	}
}

void series_release(struct series_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
	*l = (struct series_list){0};
}
