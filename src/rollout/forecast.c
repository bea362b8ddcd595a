/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/forecast.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/outcome.h"
#include "store/store.h"

enum {
	ROLLOUTS_MAX = 20, /* the latest: older ones tell of older agents */
	MANIFEST_MAX = 64 << 20,
};

static char *key_of(const char *task_id, const char *model)
{
	return xasprintf("%s\n%s", task_id, model);
}

/* {key: [sum of USD, trials]} */
static void add_manifest(json_t *history, const json_t *manifest)
{
	const json_t *row;
	size_t i;

	json_array_foreach (json_object_get(manifest, "results"), i, row) {
		double usd = json_get_real(row, "cost_usd", -1);
		AUTO(free)
		char *key =
			key_of(json_get_str(row, "task_id", ""), json_get_str(row, "model", ""));
		json_t *old = json_object_get(history, key);
		double sum = json_real_value(json_array_get(old, 0));
		json_int_t count = json_integer_value(json_array_get(old, 1));

		enum outcome outcome;
		/* What failed for reasons of ours cost less than it would have. */
		bool whole = outcome_parse(json_get_str(row, "outcome", ""), &outcome) &&
			     !outcome_is_missing(outcome);

		if (usd >= 0 && whole)
			json_object_set_new(history, key, json_pack("[f,I]", sum + usd, count + 1));
	}
}

static void add_rollout(json_t *history, const struct store *s, const struct rollout_ref *ref)
{
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_MANIFEST);
	AUTO(json) json_t *j = NULL;
	struct err ignored; /* a forecast makes do with what there is */

	if (!json_read(&j, s->root_fd, path, MANIFEST_MAX, &ignored))
		add_manifest(history, j);
}

static int compare_stamps(const void *a, const void *b)
{
	const struct rollout_ref *x = a, *y = b;
	return strcmp(y->stamp, x->stamp);
}

static json_t *read_history(const char *data_dir)
{
	json_t *history = json_object();
	struct store s = {.root_fd = -1};
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	struct err ignored;

	if (store_open(&s, data_dir ? data_dir : "data", false, &ignored))
		return history;
	if (!store_list(&s, NULL, &refs, &n, &ignored) && n) {
		qsort(refs, n, sizeof *refs, compare_stamps);
		for (size_t i = 0; i < n && i < ROLLOUTS_MAX; i++)
			add_rollout(history, &s, &refs[i]);
	}
	for (size_t i = 0; i < n; i++)
		rollout_ref_release(&refs[i]);
	free(refs);
	store_close(&s);
	return history;
}

/* What the limits of a trial let it cost; -1: they do not bound it. */
static double bound(const struct trial *t, const struct price *price)
{
	if (t->limits.usd > 0)
		return t->limits.usd;
	if (!t->limits.tokens || !price || !price->known)
		return -1;
	return (double)t->limits.tokens * fmax(price->usual.input, price->usual.output) / 1e6;
}

static void add_trial(struct forecast *f, const json_t *history, const struct providers *p,
		      const struct trial *t)
{
	AUTO(free) char *key = key_of(t->task_id, t->model);
	const json_t *past = json_object_get(history, key);
	struct route route = {0};
	struct err ignored;

	if (providers_route(p, t->model, &route, &ignored))
		route.price = NULL;
	if (route.price && route.price->known &&
	    !(route.price->usual.input > 0 || route.price->usual.output > 0))
		return;
	f->trials++;
	if (past) {
		f->known++;
		f->usd += json_real_value(json_array_get(past, 0)) /
			  (double)json_integer_value(json_array_get(past, 1));
		return;
	}
	double most = bound(t, route.price);
	if (most >= 0) {
		f->limited++;
		f->usd += most;
	}
}

void forecast_make(struct forecast *out, const char *data_dir, const struct providers *p,
		   const struct trial *trials, size_t n)
{
	json_t *history = NULL;

	*out = (struct forecast){0};
	for (size_t i = 0; i < n; i++) {
		if (!*trials[i].provider)
			continue;
		if (!history)
			history = read_history(data_dir);
		add_trial(out, history, p, &trials[i]);
	}
	json_decref(history);
}

static void describe(struct buf *out, const struct forecast *f)
{
	size_t unknown = f->trials - f->known - f->limited;

	if (unknown == f->trials) {
		buf_addf(out,
			 "unknown for %zu trial%s: no earlier run tells, and no cost_limit_usd "
			 "bounds "
			 "them",
			 f->trials, f->trials == 1 ? "" : "s");
		return;
	}
	buf_addf(out, "%s%.2f USD for %zu trial%s", f->limited ? "at most " : "about ", f->usd,
		 f->trials - unknown, f->trials - unknown == 1 ? "" : "s");
	if (f->limited)
		buf_addf(out, " (%zu by earlier runs, %zu by their limits)", f->known, f->limited);
	else
		buf_adds(out, ", by earlier runs");
	if (unknown)
		buf_addf(out, "; unknown for %zu more", unknown);
}

int forecast_tell(struct strv *out, const struct forecast *f, const struct budget *b,
		  struct err *err)
{
	AUTO(buf) struct buf line = BUF_INIT;
	bool whole = f->known + f->limited == f->trials;

	if (!f->trials)
		return 0;
	describe(&line, f);
	if (b->max_forecast_usd > 0 && (f->usd > b->max_forecast_usd || !whole))
		return err_set(err, ERR_USAGE, 0,
			       "not started, as max_forecast_usd = %.15g asks: the forecast is %s",
			       b->max_forecast_usd, line.data);
	if (b->usd > 0)
		strv_pushf(out, "forecast: %s; nothing new starts at %.15g USD", line.data, b->usd);
	else
		strv_pushf(out, "forecast: %s; no budget is set", line.data);
	return 0;
}
