/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/threshold.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"

/* What summing in floating point leaves over. */
#define ROUNDING 1e-12

static int read_number(const char *text, double *out, struct err *err)
{
	char *end = NULL;

	*out = strtod(text, &end);
	if (end == text || *end || !(*out >= 0 && *out <= 1))
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\" is no score: scores lie between 0 and 1, 80 %% is 0.8",
			       text);
	return 0;
}

int threshold_parse(struct threshold *out, const char *words, bool each_task, struct err *err)
{
	const char *sign = strrchr(words, '='), *colon = strchr(words, ':');
	struct summary_options by = {0};

	*out = (struct threshold){.text = sign ? sign + 1 : words, .each_task = each_task};
	if (read_number(out->text, &out->at_least, err))
		return -1;
	if (!sign)
		return 0;
	if (!colon || colon > sign)
		return err_set(err, ERR_USAGE, 0,
			       "\"%s\": of what? Such as tag:hard=0.5, task:NAME=1, model:NAME=0.8",
			       words);
	out->kind = xstrndup(words, (size_t)(colon - words));
	out->name = xstrndup(colon + 1, (size_t)(sign - colon - 1));
	if (!summary_by_parse(&by, out->kind, err) && by.by_n == 1)
		return 0;
	threshold_release(out);
	return err_set(err, ERR_USAGE, 0,
		       "\"%s\": what stands before \":\" is one of model, label, "
		       "task, tag, agent, served",
		       words);
}

void threshold_release(struct threshold *t)
{
	free(t->kind);
	free(t->name);
	t->kind = t->name = NULL;
}

const char *threshold_verdict_name(enum threshold_verdict v)
{
	static const char *const names[] = {"pass", "fail", "inconclusive"};

	return names[v];
}

/* BEST: the mean if all that is missing were 1. */
static enum threshold_verdict decide(const struct threshold_line *l, double best)
{
	const double edge = l->of->at_least - ROUNDING;
	const double value = l->by_low ? l->low : l->mean;

	if (l->missing)
		return best < edge ? THRESHOLD_FAIL : THRESHOLD_OPEN;
	if (isnan(value))
		return THRESHOLD_OPEN;
	return value < edge ? THRESHOLD_FAIL : THRESHOLD_PASS;
}

static void add(struct threshold_lines *out, struct threshold_line line,
		const struct stats_mean *mean, const struct tally *tally, double best)
{
	line.mean = tally->scored ? mean->mean : NAN;
	line.low = tally->scored && mean->method != STATS_NONE ? mean->low : NAN;
	line.planned = tally->planned;
	line.missing = tally->planned - tally->scored;
	line.verdict = decide(&line, tally->scored ? best : 1);
	GROW(out->v, out->n, out->cap);
	out->v[out->n++] = line;
}

static char *name_of(const char *task, const struct summary_condition *c, const struct threshold *t)
{
	const char *parts[] = {task, c->model, c->label, c->agent};
	AUTO(buf) struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i] && *parts[i])
			buf_addf(&b, "%s%s", b.len ? ", " : "", parts[i]);
	if (t->kind && !task && strcmp(t->kind, "model") != 0)
		buf_addf(&b, "%s%s %s", b.len ? ", " : "", t->kind, t->name);
	if (!b.len)
		buf_adds(&b, "all tasks");
	return buf_detach(&b);
}

/* Unscored trials are as good as missing ones: the group's own bound speaks of those alone that have no result. */
static double best_of(const struct summary_group *g)
{
	const struct tally *t = &g->tally;

	return t->unscored ? 1 : g->best;
}

static void check_groups(struct threshold_lines *out, const struct threshold_line *line,
			 const struct summary *s)
{
	const struct threshold *t = line->of;
	enum group_level level = t->kind ? GROUP_BY : GROUP_MODEL;

	/* A mean over several agents or settings is nobody's. */
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].level == GROUP_CONDITION)
			level = GROUP_CONDITION;
	for (size_t i = 0; i < s->groups_n; i++) {
		const struct summary_group *g = &s->groups[i];
		struct summary_condition named = {.model = g->of.model};
		if (level == GROUP_CONDITION)
			named = g->of;
		struct threshold_line one = *line;
		if (g->level != level || (t->kind && strcmp(g->by[0], t->name) != 0))
			continue;
		if (t->kind)
			named.model = g->by[g->by[1] != NULL];
		if (named.model && !strcmp(named.model, "(none)"))
			named.model = NULL;
		one.what = name_of(NULL, &named, t);
		add(out, one, &g->mean, &g->tally, best_of(g));
	}
}

static bool is_meant(const struct summary *s, const struct summary_cell *cell, const char *name)
{
	const struct summary_row *row = &s->rows[cell->first];

	if (!name)
		return true;
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].level == GROUP_BY && !strcmp(s->groups[i].by[0], name) &&
		    summary_group_holds(s, &s->groups[i], row))
			return true;
	return false;
}

static void check_cells(struct threshold_lines *out, const struct threshold_line *line,
			const struct summary *s)
{
	for (size_t i = 0; i < s->cells_n; i++) {
		const struct summary_cell *cell = &s->cells[i];
		const struct summary_condition *c = &s->conditions[cell->condition];
		struct threshold_line one = *line;
		if (!is_meant(s, cell, line->of->name))
			continue;
		const struct summary_condition named = {.model = s->models_n > 1 ? c->model : NULL,
							.label = s->labels_n > 1 ? c->label : NULL,
							.agent = s->agents_n > 1 ? c->agent : NULL};
		one.what = name_of(summary_task_name(s, &s->rows[cell->first]), &named, line->of);
		const struct stats_mean mean = summary_cell_mean(s, cell);
		add(out, one, &mean, &cell->tally,
		    (cell->sum + (double)(cell->tally.planned - cell->tally.scored)) /
			    (double)cell->tally.planned);
	}
}

int threshold_check(struct threshold_lines *out, const struct threshold *t, bool confident,
		    const struct rollout *r, const struct summary_options *options, struct err *err)
{
	const struct threshold_line line = {.of = t, .by_low = confident};
	struct summary_options by = *options;
	const size_t before = out->n;
	AUTO(summary) struct summary s = {0};

	by.by_n = 0;
	if (t->kind && summary_by_parse(&by, t->kind, err))
		return -1;
	if (t->kind && by.by[0] != BY_MODEL)
		by.by[by.by_n++] = BY_MODEL;
	summary_make(&s, (const struct rollout *[]){r}, 1, &by);
	if (t->each_task)
		check_cells(out, &line, &s);
	else
		check_groups(out, &line, &s);
	return out->n > before ? 0
			       : err_set(err, ERR_USAGE, 0, "no trial of %s %s has the %s \"%s\"",
					 r->ref.name, r->ref.stamp, t->kind, t->name);
}

void threshold_lines_release(struct threshold_lines *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].what);
	free(l->v);
	*l = (struct threshold_lines){0};
}

enum threshold_verdict threshold_worst(const struct threshold_lines *l)
{
	enum threshold_verdict worst = THRESHOLD_PASS;

	for (size_t i = 0; i < l->n; i++)
		if (l->v[i].verdict == THRESHOLD_FAIL)
			return THRESHOLD_FAIL;
		else if (l->v[i].verdict == THRESHOLD_OPEN)
			worst = THRESHOLD_OPEN;
	return worst;
}
