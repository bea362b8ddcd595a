/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/list-history.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "analysis/compare.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "cmd/cmd.h"
#include "report/compare-report.h"
#include "report/doc.h"
#include "report/number.h"
#include "report/report.h"

#define DECIMALS 3

/* One model in one rollout. */
struct point {
	const struct rollout *rollout;
	char *model;
	struct stats_mean mean;
	struct tally tally;
	size_t tasks;
	double first_tries;
	char *served; /* "" not known */
	struct buf changes;
};

struct series {
	struct point *v;
	size_t n, cap;
	struct strv models;
};

static void auto_series(struct series *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].model);
		free(s->v[i].served);
		buf_release(&s->v[i].changes);
	}
	free(s->v);
	strv_release(&s->models);
}

/* The models that answered, as one text. */
static char *served_text(const struct summary *s, const struct summary_group *g)
{
	AUTO(json) json_t *answered = summary_answered_by(s, g);
	struct buf text = BUF_INIT;
	const char *model;
	json_t *n;

	json_object_foreach (answered, model, n)
		buf_addf(&text, "%s%s", text.len ? ", " : "", model);
	char *out = xstrdup(text.data);
	buf_release(&text);
	return out;
}

static const struct point *before(const struct series *s, const char *model)
{
	for (size_t i = s->n; i-- > 0;)
		if (strcmp(s->v[i].model, model) == 0)
			return &s->v[i];
	return NULL;
}

static void mark(struct buf *to, const char *what, const char *a, const char *b)
{
	if (a && b && *a && *b && strcmp(a, b) != 0)
		buf_addf(to, "%s%s", to->len ? ", " : "", what);
}

static void mark_changes(struct point *p, const struct point *old)
{
	if (!old)
		return;
	mark(&p->changes, "config", p->rollout->config_hash, old->rollout->config_hash);
	mark(&p->changes, "model", p->served, old->served);
	mark(&p->changes, "version", p->rollout->program, old->rollout->program);
	if (p->tasks != old->tasks)
		buf_addf(&p->changes, "%stasks", p->changes.len ? ", " : "");
}

static void add_rollout(struct series *out, const struct rollout *r)
{
	struct summary s;

	summary_make(&s, &r, 1, &SUMMARY_DEFAULT);
	for (size_t i = 0; i < s.groups_n; i++) {
		const struct summary_group *g = &s.groups[i];
		if (g->level != GROUP_MODEL)
			continue;
		const struct point *old = before(out, g->of.model);
		struct point p = {.rollout = r,
				  .model = xstrdup(g->of.model),
				  .mean = g->mean,
				  .tally = g->tally,
				  .tasks = g->tasks,
				  .first_tries = g->first_tries,
				  .served = served_text(&s, g),
				  .changes = BUF_INIT};
		mark_changes(&p, old);
		if (!strv_has(&out->models, p.model))
			strv_push(&out->models, p.model);
		GROW(out->v, out->n, out->cap);
		out->v[out->n++] = p;
	}
	summary_release(&s);
}

static void sparkline(struct buf *out, const struct series *s, const char *model)
{
	static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

	for (size_t i = 0; i < s->n; i++) {
		const struct point *p = &s->v[i];
		if (strcmp(p->model, model) != 0)
			continue;
		if (!p->mean.n) {
			buf_adds(out, "?");
			continue;
		}
		const size_t most = ARRAY_SIZE(heights);
		size_t at = (size_t)(p->mean.mean * (double)most);
		buf_adds(out, heights[at < most ? at : most - 1]);
	}
}

static void add_point(struct table *t, const struct point *p)
{
	AUTO(buf) struct buf tags = BUF_INIT;

	for (size_t i = 0; i < p->rollout->tags.n; i++)
		buf_addf(&tags, "%s%s", i ? " " : "", p->rollout->tags.v[i]);
	table_text(t, p->rollout->ref.stamp);
	table_text(t, rollout_state(p->rollout));
	if (p->mean.n)
		table_score(t, p->mean.mean);
	else
		table_missing(t, NULL);
	if (p->mean.method == STATS_NONE)
		table_missing(t, NULL);
	else
		table_textf(t, "%s–%s", number_score((char[NUMBER_TEXT]){0}, p->mean.low),
			    number_score((char[NUMBER_TEXT]){0}, p->mean.high));
	table_int(t, (int64_t)p->tasks);
	table_textf(t, "%zu/%zu", p->tally.scored, p->tally.planned);
	AUTO(buf) struct buf changed = BUF_INIT;
	buf_adds(&changed, p->changes.data);
	if (p->tally.replaced)
		buf_addf(&changed, "%s%zu rerun, first tries %s", changed.len ? "; " : "",
			 p->tally.replaced,
			 isnan(p->first_tries)
				 ? "none"
				 : number_score((char[NUMBER_TEXT]){0}, p->first_tries));
	table_text(t, changed.data);
	table_text(t, tags.data);
}

static void put_model(struct doc *d, const struct series *s, const char *model)
{
	struct table t = {0};
	AUTO(buf) struct buf line = BUF_INIT;

	sparkline(&line, s, model);
	doc_heading(d, 2);
	doc_text(d, *model ? model : "(no model)");
	doc_words(d, " ");
	doc_text(d, line.data);
	table_column(&t, "rollout", TABLE_WHOLE);
	table_column(&t, "state", TABLE_WHOLE);
	table_column(&t, "score", TABLE_RIGHT);
	table_column(&t, "95 % interval", TABLE_WHOLE);
	table_column(&t, "tasks", TABLE_RIGHT);
	table_column(&t, "scored", TABLE_RIGHT);
	table_column(&t, "changed", TABLE_LEFT);
	table_column(&t, "tags", TABLE_LEFT);
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->v[i].model, model) == 0)
			add_point(&t, &s->v[i]);
	doc_table(d, &t);
}

static json_t *point_json(const struct point *p)
{
	json_t *j = json_object();
	bool none = p->mean.method == STATS_NONE;

	json_put_int(j, "v", 1);
	json_put_str(j, "name", p->rollout->ref.name);
	json_put_str(j, "stamp", p->rollout->ref.stamp);
	json_put_str(j, "state", rollout_state(p->rollout));
	json_put_str(j, "model", p->model);
	json_put_str(j, "model_served", *p->served ? p->served : NULL);
	json_put_real(j, "mean", p->mean.mean);
	json_put_real(j, "low", none ? NAN : p->mean.low);
	json_put_real(j, "high", none ? NAN : p->mean.high);
	json_put_int(j, "tasks", (int64_t)p->tasks);
	json_put_int(j, "scored", (int64_t)p->tally.scored);
	json_put_int(j, "planned", (int64_t)p->tally.planned);
	json_put_int(j, "replaced", (int64_t)p->tally.replaced);
	json_put_real(j, "first_tries", p->tally.replaced ? p->first_tries : NAN);
	json_put_str(j, "changed", p->changes.len ? p->changes.data : NULL);
	json_put_strv(j, "tags", &p->rollout->tags);
	return j;
}

static void print_series(const struct series *s, const struct history_request *q)
{
	AUTO(doc) struct doc d = {0};
	AUTO(buf) struct buf text = BUF_INIT;

	if (q->json) {
		AUTO(json) json_t *all = json_array();
		for (size_t i = 0; i < s->n; i++)
			json_array_append_new(all, point_json(&s->v[i]));
		json_format(&text, all, true);
		buf_addc(&text, '\n');
	} else {
		for (size_t i = 0; i < s->models.n; i++)
			put_model(&d, s, s->models.v[i]);
		doc_terminal(&d, report_width(STDOUT_FILENO), &text);
	}
	fwrite(text.data, 1, text.len, stdout);
}

/* 1: worse for some model; 4: nobody can say, since trials are missing or still run. */
static int judge(const struct comparison *c)
{
	int status = CMD_OK;

	for (size_t i = 0; i < c->pairs_n; i++) {
		const struct compare_pair *p = &c->pairs[i];
		if (p->verdict == STATS_WORSE)
			return CMD_MISSING;
		/* A gate that had nothing to look at has not been passed. */
		if (p->reason == COMPARE_STILL_RUNS || p->reason == COMPARE_MISSING ||
		    p->reason == COMPARE_TOO_FEW)
			status = CMD_INCONCLUSIVE;
	}
	return status;
}

static void print_verdicts(const struct comparison *c)
{
	AUTO(buf) struct buf text = BUF_INIT;

	compare_report_verdicts(&text, c, report_width(STDERR_FILENO));
	fwrite(text.data, 1, text.len, stderr);
}

static int find_baseline(const struct store *s, const struct rollouts *all, const char *name,
			 size_t *at, struct err *err)
{
	struct rollout_ref ref = {0};
	const size_t latest = all->n - 1;

	if (strcmp(name, "previous") == 0) {
		if (!latest)
			return err_set(
				err, ERR_USAGE, 0,
				"%s has one rollout: there is none before it to compare with",
				all->v[0].ref.name);
		*at = latest - 1;
		return 0;
	}
	if (store_find(s, all->v[0].ref.name, name, &ref, err))
		return -1;
	*at = latest;
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->v[i].ref.path, ref.path) == 0)
			*at = i;
	rollout_ref_release(&ref);
	return *at < latest ? 0
			    : err_set(err, ERR_USAGE, 0,
				      "--fail-on-regression=%s: that is the latest rollout itself",
				      name);
}

static int check_regression(const struct store *s, const struct rollouts *all, const char *name,
			    int *status, struct err *err)
{
	const struct compare_options options = {.level = SUMMARY_LEVEL};
	struct strv none = STRV_INIT;
	AUTO(compare_sides) struct compare_sides sides = {0};
	struct comparison c;
	size_t at = 0;

	if (find_baseline(s, all, name, &at, err))
		return -1;
	AUTO(free) struct rollout *two = xcalloc(2, sizeof *two);
	two[0] = all->v[all->n - 1];
	two[1] = all->v[at];
	if (compare_sides_make(&sides, two, 2, &none, NULL, err))
		return -1;
	compare_make(&c, &sides, two, 2, &options);
	*status = judge(&c);
	print_verdicts(&c);
	compare_release(&c);
	return 0;
}

int history_print(const struct store *s, const struct rollout_ref *refs, size_t n,
		  const struct history_request *q, int *status, struct err *err)
{
	AUTO(rollouts) struct rollouts all = {.v = xcalloc(n + 1, sizeof *all.v)};
	AUTO(series) struct series series = {.models = STRV_INIT};

	for (size_t i = 0; i < n; i++) {
		struct err unreadable;
		if (rollout_read(&all.v[all.n], s, &refs[i], &(struct rollout_how){.index = true},
				 &unreadable))
			cmd_warn(unreadable.msg);
		else
			all.n++;
	}
	for (size_t i = 0; i < all.n; i++)
		add_rollout(&series, &all.v[i]);
	print_series(&series, q);
	*status = CMD_OK;
	if (!q->regression)
		return 0;
	if (!all.n)
		return err_set(err, ERR_USAGE, 0, "there is no rollout to compare");
	return check_regression(s, &all, q->regression, status, err);
}
