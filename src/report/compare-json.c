/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/compare-json.h"
#include "report/compare-changes.h"
#include <math.h>
#include "analysis/compare-measures.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "report/compare-flips.h"
#include "report/compare-report.h"

static const char *const missing_names[] = {"bounds", "zero", "drop"};
static const char *const test_names[] = {NULL, "t", "sign-flip", "mcnemar"};
static const char *const reason_names[] = {NULL,	"too few tasks", "uncertain",	  "missing",
					   "corrected", "still running", "single rollout"};

static json_t *side_json(const struct comparison *c, size_t i)
{
	const struct compare_side *side = &c->sides->v[i];
	const struct compare_standing *s = &c->standings[i];
	json_t *j = json_object();

	json_put_str(j, "name", side->name);
	json_put_str(j, "benchmark", side->rollout->ref.name);
	json_put_str(j, "stamp", side->rollout->ref.stamp);
	json_put_str(j, "model", side->model);
	json_put_str(j, "label", side->label);
	json_put_str(j, "agent", side->agent);
	json_put_real(j, "mean", s->mean);
	json_put_int(j, "tasks", (int64_t)s->tasks);
	json_put_int(j, "planned", (int64_t)s->tally.planned);
	json_put_int(j, "scored", (int64_t)s->tally.scored);
	json_put_int(j, "unscored", (int64_t)s->tally.unscored);
	json_put_int(j, "missing", (int64_t)s->tally.missing);
	json_put_int(j, "replaced", (int64_t)s->tally.replaced);
	json_put_int(j, "solved", (int64_t)s->solved);
	json_put_real(j, "money_usd", s->money_usd < 0 ? NAN : s->money_usd);
	json_put_real(j, "tokens_per_trial", s->tokens);
	json_put_real(j, "time_per_trial_ms", s->wall_ms);
	json_put_real(j, "usd_per_solved",
		      s->money_usd < 0 || !s->solved ? NAN : s->money_usd / (double)s->solved);
	if (s->rank_best) {
		json_put_int(j, "rank_best", (int64_t)s->rank_best);
		json_put_int(j, "rank_worst", (int64_t)s->rank_worst);
	}
	return j;
}

static json_t *difference_json(const struct stats_difference *d)
{
	json_t *j = json_object();

	json_put_real(j, "mean", d->mean);
	json_put_real(j, "low", d->low);
	json_put_real(j, "high", d->high);
	json_put_real(j, "p", d->p);
	json_put_real(j, "se", d->se);
	json_put_real(j, "df", d->df);
	json_put_real(j, "mde", d->mde);
	json_put_int(j, "tasks", (int64_t)d->n);
	json_put_int(j, "differing", (int64_t)d->differing);
	json_put_int(j, "units", (int64_t)d->units);
	return j;
}

/* Of the side that is worse. */
static json_t *failed_json(const struct comparison *c, const struct compare_pair *p,
			   const struct compare_flip *f)
{
	struct failed_test failed;

	if (!compare_failed_test(&failed, c, p, f))
		return json_null();
	json_t *j = json_object();
	json_put_str(j, "test", failed.path);
	json_put_str(j, "reason", failed.reason);
	json_put_str(j, "line", failed.line);
	failed_test_release(&failed);
	return j;
}

static json_t *flips_json(const struct comparison *c, const struct compare_pair *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->flips_n; i++) {
		const struct compare_flip *f = &p->flips[i];
		json_t *j = json_object();
		json_put_str(j, "task", f->task);
		json_put_str(j, "change",
			     f->candidate < f->baseline ? "regression" : "improvement");
		json_put_real(j, "candidate", f->candidate);
		json_put_real(j, "baseline", f->baseline);
		json_put_str(j, "candidate_run", RUN_ID(f->candidate_run));
		json_put_str(j, "baseline_run", RUN_ID(f->baseline_run));
		json_put(j, "failed_test", failed_json(c, p, f));
		json_array_append_new(all, j);
	}
	return all;
}

static json_t *differences_json(const struct compare_pair *p)
{
	json_t *all = json_array();

	for (size_t i = 0; i < p->differences_n; i++) {
		const struct compare_difference *d = &p->differences[i];
		json_t *j = json_object();
		json_put_str(j, "what", d->what);
		json_put_str(j, "candidate", d->candidate);
		json_put_str(j, "baseline", d->baseline);
		if (d->tasks)
			json_put_int(j, "tasks", (int64_t)d->tasks);
		json_array_append_new(all, j);
	}
	return all;
}

static json_t *test_json(const struct comparison *c, const struct compare_pair *p)
{
	json_t *j = json_object();

	json_put_str(j, "name", test_names[c->options.test]);
	json_put_real(j, "p", p->test_p);
	json_put_real(j, "low", p->test_low);
	json_put_real(j, "high", p->test_high);
	return j;
}

static json_t *measures_json(const struct comparison *c, const struct compare_pair *p)
{
	AUTO(compare_measures) struct compare_measures all = {0};
	json_t *list = json_array();

	compare_measures_make(&all, c, p);
	for (size_t i = 0; i < all.n; i++) {
		json_t *j = json_object();
		json_put_str(j, "name", all.v[i].name);
		json_put_real(j, "candidate", all.v[i].candidate);
		json_put_real(j, "baseline", all.v[i].baseline);
		json_put(j, "difference", difference_json(&all.v[i].difference));
		json_put_bool(j, "self_reported", all.v[i].self_reported);
		json_array_append_new(list, j);
	}
	return list;
}

static json_t *pair_json(const struct comparison *c, const struct compare_pair *p)
{
	json_t *j = json_object();

	json_put_str(j, "candidate", c->sides->v[p->candidate].name);
	json_put_str(j, "baseline", c->sides->v[p->baseline].name);
	json_put_str(j, "verdict", compare_report_verdict(p->verdict));
	json_put_str(j, "undecided_because", reason_names[p->reason]);
	json_put(j, "difference", difference_json(&p->difference));
	const bool bounded = c->options.missing == COMPARE_BOUNDS && p->missing;
	json_put(j, "if_missing_against", bounded ? difference_json(&p->worst) : json_null());
	json_put(j, "if_missing_for", bounded ? difference_json(&p->best) : json_null());
	json_put_real(j, "p_holm", p->p_holm);
	json_put_real(j, "tasks_needed", p->tasks_needed);
	json_put_int(j, "missing", (int64_t)p->missing);
	json_put_int(j, "excluded", (int64_t)p->excluded);
	json_put(j, "with_excluded",
		 p->excluded ? difference_json(&p->with_excluded) : json_null());
	json_put_int(j, "unpaired", (int64_t)p->unpaired);
	json_put_int(j, "only_candidate", (int64_t)p->only_candidate);
	json_put_int(j, "only_baseline", (int64_t)p->only_baseline);
	const bool gated = c->options.margin > 0;
	json_put_str(j, "gate", gated ? compare_report_gate(p->gate) : NULL);
	json_put_real(j, "gate_chance_when_equal", gated ? p->gate_chance : NAN);
	json_put(j, "test", c->options.test == COMPARE_NO_TEST ? json_null() : test_json(c, p));
	AUTO(strv) struct strv changes = STRV_INIT;
	compare_changes_lines(&changes, c, p);
	json_put_strv(j, "changes", &changes);
	json_put(j, "metrics", measures_json(c, p));
	json_put(j, "differs", differences_json(p));
	json_put(j, "flips", flips_json(c, p));
	return j;
}

void compare_json(struct buf *out, const struct comparison *c)
{
	AUTO(json) json_t *j = json_object();
	json_t *sides = json_array(), *pairs = json_array();

	json_put_int(j, "v", 1);
	json_put_str(j, "question", summary_question_name(c->options.question));
	json_put_int(j, "clusters", (int64_t)(c->summary.clusters.of ? c->summary.clusters.n : 0));
	json_put_real(j, "level", c->options.level);
	json_put_real(j, "margin", c->options.margin > 0 ? c->options.margin : NAN);
	json_put_str(j, "missing", missing_names[c->options.missing]);
	json_put_bool(j, "running", c->live);
	json_put_str(j, "gate",
		     c->options.margin > 0 ? compare_report_gate(compare_gate(c)) : NULL);
	for (size_t i = 0; i < c->sides->n; i++)
		json_array_append_new(sides, side_json(c, i));
	json_put(j, "sides", sides);
	for (size_t i = 0; i < c->pairs_n; i++)
		json_array_append_new(pairs, pair_json(c, &c->pairs[i]));
	json_put(j, "comparisons", pairs);
	json_format(out, j, true);
	buf_adds(out, "\n");
}
