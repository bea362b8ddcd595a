/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/forecast.h"
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "core/roles.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/outcome.h"
#include "store/store.h"

enum {
	ROLLOUTS_MAX = 20, /* the latest: older ones tell of older agents */
	MANIFEST_MAX = 64 << 20,
};

/* Of what trials cost: their agents', by task and model, and their judging, by task and judge. */
struct history {
	json_t *agents, *judges;
};

static char *key_of(const char *task_id, const char *model, const char *roles)
{
	return xasprintf("%s\n%s\n%s", task_id, model, roles);
}

/* {key: [sum of USD, trials]} */
static void add_cost(json_t *history, const char *task_id, const char *model, const char *roles,
		     double usd)
{
	AUTO(free) char *key = key_of(task_id, model, roles);
	const json_t *old = json_object_get(history, key);
	double sum = json_real_value(json_array_get(old, 0));
	json_int_t count = json_integer_value(json_array_get(old, 1));

	if (usd >= 0)
		json_object_set_new(history, key, json_pack("[f,I]", sum + usd, count + 1));
}

static void add_manifest(struct history *h, const json_t *manifest)
{
	const json_t *row;
	size_t i;

	json_array_foreach (json_object_get(manifest, "results"), i, row) {
		const char *task = json_get_str(row, "task_id", "");
		enum outcome outcome;

		/* What failed for reasons of ours cost less than it would have. */
		if (!outcome_parse(json_get_str(row, "outcome", ""), &outcome) ||
		    outcome_is_missing(outcome))
			continue;
		add_cost(h->agents, task, json_get_str(row, "model", ""),
			 json_get_str(row, "roles", ""), json_get_real(row, "cost_usd", -1));
		add_cost(h->judges, task, json_get_str(row, "judge_model", ""), "",
			 json_get_real(row, "judge_cost_usd", -1));
	}
}

static void add_rollout(struct history *h, const struct store *s, const struct rollout_ref *ref)
{
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_MANIFEST);
	AUTO(json) json_t *j = NULL;
	struct err ignored; /* a forecast makes do with what there is */

	if (!json_read(&j, s->root_fd, path, MANIFEST_MAX, &ignored))
		add_manifest(h, j);
}

static int compare_stamps(const void *a, const void *b)
{
	const struct rollout_ref *x = a, *y = b;
	return strcmp(y->stamp, x->stamp);
}

static void read_history(struct history *h, const char *data_dir)
{
	struct store s = {.root_fd = -1};
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	struct err ignored;

	if (store_open(&s, data_dir ? data_dir : "data", false, &ignored))
		return;
	if (!store_list(&s, NULL, &refs, &n, &ignored) && n) {
		qsort(refs, n, sizeof *refs, compare_stamps);
		for (size_t i = 0; i < n && i < ROLLOUTS_MAX; i++)
			add_rollout(h, &s, &refs[i]);
	}
	for (size_t i = 0; i < n; i++)
		rollout_ref_release(&refs[i]);
	free(refs);
	store_close(&s);
}

/* What limits let it cost, in USD or in tokens at PRICE; -1: they do not bound it. */
static double bound(double usd, int64_t tokens, const struct price *price)
{
	if (usd > 0)
		return usd;
	if (!tokens || !price || !price->known)
		return -1;
	return (double)tokens * fmax(price->usual.input, price->usual.output) / 1e6;
}

/* MOST: what its limits let it cost. */
static void add_trial(struct forecast_part *f, const json_t *history, const char *task_id,
		      const char *model, const char *roles, double most)
{
	AUTO(free) char *key = key_of(task_id, model, roles);
	const json_t *past = json_object_get(history, key);

	f->trials++;
	if (past) {
		f->known++;
		f->usd += json_real_value(json_array_get(past, 0)) /
			  (double)json_integer_value(json_array_get(past, 1));
	} else if (most >= 0) {
		f->limited++;
		f->usd += most;
	}
}

static bool is_free(const struct price *price)
{
	return price && price->known && !(price->usual.input > 0 || price->usual.output > 0);
}

/* NULL: nobody knows. */
static const struct price *price_of(const struct providers *p, const char *model)
{
	struct route route = {0};
	struct err ignored;

	return providers_route(p, model, &route, &ignored) ? NULL : route.price;
}

static double most_of(const struct price *price)
{
	return price && price->known ? fmax(price->usual.input, price->usual.output) : HUGE_VAL;
}

/* Of the models that T may ask. */
static const struct price *dearest(const struct providers *p, const struct trial *t)
{
	const struct price *found = price_of(p, t->model);
	const char *name;
	json_t *role;

	json_object_foreach (t->roles, name, role) {
		const struct price *price = price_of(p, role_get(t->roles, name, "model"));
		if (most_of(price) > most_of(found))
			found = price;
	}
	return found;
}

void forecast_make(struct forecast *out, const char *data_dir, const struct providers *p,
		   const struct forecast_of *of)
{
	const struct price *judging = of->judge ? price_of(p, of->judge->model) : NULL;
	struct history h = {json_object(), json_object()};

	*out = (struct forecast){0};
	if (of->n || of->judged_n)
		read_history(&h, data_dir);
	for (size_t i = 0; i < of->n; i++) {
		const struct trial *t = &of->trials[i];
		const struct price *price = *t->provider ? dearest(p, t) : NULL;
		AUTO(buf) struct buf roles = BUF_INIT;
		roles_text(&roles, t->roles);
		if (*t->provider && !is_free(price))
			add_trial(&out->agents, h.agents, t->task_id, t->model, roles.data,
				  bound(t->limits.usd, t->limits.tokens, price));
	}
	for (size_t i = 0; of->judge && !is_free(judging) && i < of->judged_n; i++)
		if (of->judged[i].judged)
			add_trial(&out->judge, h.judges, of->judged[i].task_id, of->judge->model_id,
				  "", bound(of->judge->usd, of->judge->tokens, judging));
	json_decref(h.agents);
	json_decref(h.judges);
}

static void describe(struct buf *out, const struct forecast_part *f)
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

double forecast_each(const struct forecast_part *f)
{
	const size_t n = f->known + f->limited;

	return n ? f->usd / (double)n : 0;
}

static bool is_whole(const struct forecast_part *f)
{
	return f->known + f->limited == f->trials;
}

int forecast_tell(struct strv *out, const struct forecast *f, const struct budget *b,
		  struct err *err)
{
	AUTO(buf) struct buf line = BUF_INIT;
	const double usd = f->agents.usd + f->judge.usd;

	if (f->agents.trials)
		describe(&line, &f->agents);
	if (f->judge.trials) {
		buf_adds(&line, f->agents.trials ? "; judging " : "judging ");
		describe(&line, &f->judge);
	}
	if (!line.len)
		return 0;
	if (b && b->max_forecast_usd > 0 &&
	    (usd > b->max_forecast_usd || !is_whole(&f->agents) || !is_whole(&f->judge)))
		return err_set(err, ERR_USAGE, 0,
			       "not started, as max_forecast_usd = %.15g asks: the forecast is %s",
			       b->max_forecast_usd, line.data);
	if (!b)
		strv_pushf(out, "forecast: %s", line.data);
	else if (b->usd > 0)
		strv_pushf(out, "forecast: %s; nothing new starts at %.15g USD", line.data, b->usd);
	else
		strv_pushf(out, "forecast: %s; no budget is set", line.data);
	return 0;
}
