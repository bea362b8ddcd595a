/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "report/compare-report.h"
#include <math.h>
#include <string.h>
#include "analysis/compare-measures.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "report/compare-changes.h"
#include "report/compare-flips.h"
#include "report/compare-json.h"
#include "report/doc.h"
#include "report/number.h"

#define DECIMALS 3
#define CENT 4 /* decimals of money */

static const char *s_of(size_t n)
{
	return n == 1 ? "" : "s";
}

/* A score as points of a hundred; never "-0.0". */
static double points(double score)
{
	double p = round(score * 1000) / 10;

	return p == 0 ? 0 : p;
}

/* Texts of one sentence; the margin is part of what they must be true about. */
#define POINTS(c, v) number_points((char[NUMBER_TEXT]){0}, (v), (c)->options.margin, 0)
#define SIGNED_POINTS(c, v) number_points((char[NUMBER_TEXT]){0}, (v), (c)->options.margin, 1)

/* "0.004", "< 0.001". */
static void put_p(struct buf *out, double p)
{
	if (p < 0.001)
		buf_adds(out, "p < 0.001");
	else
		buf_addf(out,
			 round(p * 1000) == 50 ? "p = %.4f"
			 : p < 0.1	       ? "p = %.3f"
					       : "p = %.2f",
			 p);
}

static const struct compare_side *candidate_of(const struct comparison *c,
					       const struct compare_pair *p)
{
	return &c->sides->v[p->candidate];
}

static const struct compare_side *baseline_of(const struct comparison *c,
					      const struct compare_pair *p)
{
	return &c->sides->v[p->baseline];
}

/* "(95 % CI 1.9 to 10.3, p = 0.004; 80 paired tasks, 31 differ; tasks like these)". */
static void put_basis(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	const struct stats_difference *x = &p->difference;
	AUTO(buf) struct buf value = BUF_INIT;

	doc_words(d, " (");
	if (!isnan(x->low)) {
		put_p(&value, x->p);
		doc_words(d, "%g %% CI %s to %s, %s; ", 100 * c->options.level, POINTS(c, x->low),
			  POINTS(c, x->high), value.data);
	}
	doc_words(d, "%zu paired task%s", x->n, s_of(x->n));
	if (x->units < x->n)
		doc_words(d, " in %zu cluster%s", x->units, s_of(x->units));
	doc_words(d, ", %zu differ%s; %s)", p->flips_n, p->flips_n == 1 ? "s" : "",
		  summary_question_name(c->options.question));
}

static void put_difference(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	if (isnan(p->difference.mean))
		return;
	doc_words(d, " The difference is %s points", SIGNED_POINTS(c, p->difference.mean));
	put_basis(d, c, p);
	doc_words(d, ".");
}

static void put_resume(struct doc *d, const struct rollout *r)
{
	AUTO(buf) struct buf command = BUF_INIT;

	store_command(&command, r->root, &r->ref, "resume");
	doc_code(d, command.data);
}

/* Where the missing trials are; both may be in one rollout. */
static void put_resumes(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	const struct rollout *a = candidate_of(c, p)->rollout, *b = baseline_of(c, p)->rollout;
	bool of_a = c->standings[p->candidate].tally.missing > 0;
	bool of_b = c->standings[p->baseline].tally.missing > 0 && (a != b || !of_a);

	if (of_a)
		put_resume(d, a);
	if (of_b) {
		doc_words(d, "%s", of_a ? " and " : "");
		put_resume(d, b);
	}
}

static void put_uncertain(struct doc *d, const struct compare_pair *p, bool these)
{
	const struct stats_difference *x = &p->difference;

	doc_words(d, "not decided: ");
	if (x->differing && x->differing < STATS_INFORMATIVE && !these)
		doc_words(d, "only %zu %s%s differ%s. ", x->differing,
			  x->units < x->n ? "cluster" : "task", s_of(x->differing),
			  x->differing == 1 ? "s" : "");
	const double seen = ceil(points(x->mde));
	if (seen > 100)
		doc_words(d, "with so few tasks no difference can be shown");
	else
		doc_words(d, "%zu tasks can show %.0f point%s", x->n, seen, seen == 1 ? "" : "s");
	/* A larger benchmark is no advice where this one would have seen the effect. */
	if (x->mde > COMPARE_EFFECT && these)
		doc_words(d, "; more rollouts of each would show less.");
	else if (x->mde > COMPARE_EFFECT)
		doc_words(d, "; %.0f would be needed for %.0f.", ceil(p->tasks_needed),
			  points(COMPARE_EFFECT));
	else
		doc_words(d, ", and less was seen; with --margin they may prove equivalent.");
}

static void put_not_decided(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	AUTO(buf) struct buf value = BUF_INIT;

	switch (p->reason) {
	case COMPARE_STILL_RUNS:
		doc_words(d, "so far, and no verdict while trials still run.");
		break;
	case COMPARE_MISSING:
		doc_words(d,
			  "not decided: %zu missing trial%s could change it; resume: ", p->missing,
			  s_of(p->missing));
		put_resumes(d, c, p);
		doc_words(d, ".");
		break;
	case COMPARE_TOO_FEW:
		doc_words(d, p->difference.n > 1
				     ? "not decided: all tasks are of one cluster (--cluster none "
				       "takes each by itself)."
			     : p->difference.n
				     ? "not decided: one paired task says nothing of others."
				     : "not decided: no task has a score on both sides.");
		break;
	case COMPARE_ONE_ROLLOUT:
		doc_words(d, "not decided: what these tasks would give when run again is not seen "
			     "while one of them has a single rollout.");
		break;
	case COMPARE_CORRECTED:
		put_p(&value, p->p_holm);
		doc_words(d, "not decided: %s after Holm's correction for %zu comparisons.",
			  value.data, c->pairs_n);
		break;
	case COMPARE_UNCERTAIN:
	case COMPARE_DECIDED:
		put_uncertain(d, p, c->options.question == SUMMARY_THESE_TASKS);
		break;
	}
}

/* The sentence that people came for. */
static void put_verdict(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	const char *a = candidate_of(c, p)->name, *b = baseline_of(c, p)->name;

	doc_paragraph(d);
	doc_strong(d, a);
	if (p->verdict == STATS_BETTER || p->verdict == STATS_WORSE) {
		doc_words(d, " is %s than ", compare_report_verdict(p->verdict));
		doc_strong(d, b);
		doc_words(d, " by %s points", POINTS(c, fabs(p->difference.mean)));
		put_basis(d, c, p);
	} else if (p->verdict == STATS_EQUIVALENT) {
		doc_words(d, " and ");
		doc_strong(d, b);
		doc_words(d, " are equivalent within %g points: %s", 100 * c->options.margin,
			  SIGNED_POINTS(c, p->difference.mean));
		put_basis(d, c, p);
	} else {
		doc_words(d, " against ");
		doc_strong(d, b);
		doc_words(d, ": ");
		put_not_decided(d, c, p);
		put_difference(d, c, p);
	}
}

/* What the sides were chosen by is no news. */
static bool differs(const char *a, const char *b)
{
	return a && b && strcmp(a, b) != 0;
}

static bool is_chosen(const struct comparison *c, const struct compare_pair *p, const char *what)
{
	static const char *const of_model[] = {"model", "model's name there",
					       "model that answered"};
	const struct compare_side *a = candidate_of(c, p), *b = baseline_of(c, p);

	for (size_t i = 0; differs(a->model, b->model) && i < ARRAY_SIZE(of_model); i++)
		if (!strcmp(what, of_model[i]))
			return true;
	return (differs(a->label, b->label) && !strcmp(what, "label")) ||
	       (differs(a->agent, b->agent) &&
		(!strcmp(what, "agent") || !strcmp(what, "agent's version")));
}

/* A hash is told from another by its beginning; the whole of it is in the JSON. */
static void put_value(struct doc *d, const char *value)
{
	enum { HASH_SHOWN = 12, SHA256_HEX = 64 };
	AUTO(free) char *begin = NULL;

	if (strlen(value) == SHA256_HEX)
		begin = xstrndup(value, HASH_SHOWN);
	doc_text(d, begin ? begin : value);
}

static void put_one_difference(struct doc *d, const struct compare_difference *x)
{
	doc_item(d);
	doc_words(d, "%s: ", x->what);
	put_value(d, x->candidate);
	doc_words(d, " against ");
	put_value(d, x->baseline);
	if (x->tasks)
		doc_words(d, " (%zu task%s)", x->tasks, s_of(x->tasks));
}

static void put_unpaired(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	const struct {
		size_t n;
		const struct compare_side *side;
	} only[] = {{p->only_candidate, candidate_of(c, p)}, {p->only_baseline, baseline_of(c, p)}};

	for (size_t i = 0; i < ARRAY_SIZE(only); i++) {
		if (!only[i].n)
			continue;
		doc_item(d);
		doc_words(d, "%zu task%s only in ", only[i].n, s_of(only[i].n));
		doc_text(d, only[i].side->name);
		doc_words(d, ": not compared");
	}
	if (p->unpaired) {
		doc_item(d);
		doc_words(d, "%zu task%s of both without a score on one side", p->unpaired,
			  s_of(p->unpaired));
	}
}

static void put_differences(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	doc_heading(d, 2);
	doc_words(d, "What differs");
	if (c->pairs_n > 1) {
		doc_words(d, ": ");
		doc_text(d, candidate_of(c, p)->name);
		doc_words(d, " against ");
		doc_text(d, baseline_of(c, p)->name);
	}
	size_t before = d->n;
	for (size_t i = 0; i < p->differences_n; i++)
		if (!is_chosen(c, p, p->differences[i].what))
			put_one_difference(d, &p->differences[i]);
	put_unpaired(d, c, p);
	if (d->n > before)
		return;
	doc_paragraph(d);
	doc_words(d, "Nothing else: the same tasks, limits and sandbox.");
}

/* With nothing but what was chosen there is nothing to tell of one pair of many. */
static bool has_news(const struct comparison *c, const struct compare_pair *p)
{
	for (size_t i = 0; i < p->differences_n; i++)
		if (!is_chosen(c, p, p->differences[i].what))
			return true;
	return p->only_candidate || p->only_baseline || p->unpaired;
}

static void put_all_differences(struct doc *d, const struct comparison *c)
{
	size_t told = 0;

	for (size_t i = 0; i < c->pairs_n; i++) {
		if (c->pairs_n > 1 && !has_news(c, &c->pairs[i]))
			continue;
		put_differences(d, c, &c->pairs[i]);
		told++;
	}
	if (told)
		return;
	doc_heading(d, 2);
	doc_words(d, "What differs");
	doc_paragraph(d);
	doc_words(d, "Nothing else: the same tasks, limits and sandbox.");
}

/* Which columns have something to tell. */
struct side_columns {
	bool ranked, paid, missing, tokens, timed;
};

static struct side_columns side_columns(const struct comparison *c)
{
	struct side_columns out = {.ranked = c->standings[0].rank_best > 0};

	for (size_t i = 0; i < c->sides->n; i++) {
		out.paid |= c->standings[i].money_usd >= 0;
		out.missing |= c->standings[i].tally.missing > 0;
		out.tokens |= c->standings[i].tokens_n > 0;
		out.timed |= c->standings[i].wall_n > 0;
	}
	return out;
}

static void put_effort(struct table *t, const struct compare_standing *s,
		       const struct side_columns *has)
{
	char time[16];

	if (has->tokens && s->tokens_n)
		table_int(t, (int64_t)llround(s->tokens));
	else if (has->tokens)
		table_missing(t, NULL);
	if (has->timed && s->wall_n) {
		clock_human((int64_t)llround(s->wall_ms), time);
		table_text(t, time);
	} else if (has->timed) {
		table_missing(t, NULL);
	}
	if (has->paid && s->money_usd >= 0 && s->solved)
		table_real(t, s->money_usd / (double)s->solved, CENT);
	else if (has->paid)
		table_missing(t, NULL);
}

static void put_side(struct table *t, const struct compare_side *side,
		     const struct compare_standing *s, const struct side_columns *has)
{
	table_text(t, side->name);
	if (isnan(s->mean))
		table_missing(t, NULL);
	else
		table_score(t, s->mean);
	table_int(t, (int64_t)s->tasks);
	table_textf(t, "%zu/%zu", s->tally.scored, s->tally.planned);
	if (has->missing)
		table_int(t, (int64_t)s->tally.missing);
	if (has->ranked && s->rank_best == s->rank_worst)
		table_textf(t, "%zu", s->rank_best);
	else if (has->ranked)
		table_textf(t, "%zu–%zu", s->rank_best, s->rank_worst);
	put_effort(t, s, has);
}

static void put_sides(struct doc *d, const struct comparison *c)
{
	const struct side_columns has = side_columns(c);
	struct table t = {0};

	table_column(&t, "side", TABLE_LEFT);
	table_column(&t, "mean", TABLE_RIGHT);
	table_column(&t, "tasks", TABLE_RIGHT);
	table_column(&t, "scored", TABLE_RIGHT);
	if (has.missing)
		table_column(&t, "missing", TABLE_RIGHT);
	if (has.ranked)
		table_column(&t, "rank", TABLE_WHOLE);
	if (has.tokens)
		table_column(&t, "tokens", TABLE_RIGHT);
	if (has.timed)
		table_column(&t, "time", TABLE_RIGHT);
	if (has.paid)
		table_column(&t, "USD per solved", TABLE_RIGHT);
	for (size_t i = 0; i < c->sides->n; i++)
		put_side(&t, &c->sides->v[i], &c->standings[i], &has);
	doc_heading(d, 2);
	doc_words(d, "Sides");
	doc_table(d, &t);
	if (!has.ranked)
		return;
	doc_paragraph(d);
	doc_words(d,
		  "A rank is 1 and those that are better, to %zu less those that are worse, by "
		  "verdicts corrected for %zu comparisons (Holm).",
		  c->sides->n, c->pairs_n);
}

static void put_test(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	static const char *const names[] = {NULL, "Paired t-test", "Sign-flip test",
					    "McNemar's exact test"};
	AUTO(buf) struct buf value = BUF_INIT;

	if (c->options.test == COMPARE_NO_TEST)
		return;
	doc_paragraph(d);
	if (isnan(p->test_p)) {
		doc_words(
			d, "%s: not possible here%s.", names[c->options.test],
			c->options.test == COMPARE_MCNEMAR
				? "; it needs tasks that are solved or not, with nothing in between"
				: "");
		return;
	}
	put_p(&value, p->test_p);
	doc_words(d, "%s: %s", names[c->options.test], value.data);
	if (!isnan(p->test_low) && !isnan(p->test_high))
		doc_words(d, " (%g %% CI %.1f to %.1f)", 100 * c->options.level,
			  points(p->test_low), points(p->test_high));
	doc_words(d, ". The verdict does not rest on it.");
}

static void put_excluded(struct doc *d, const struct compare_pair *p)
{
	const struct stats_difference *x = &p->with_excluded;

	if (!p->excluded)
		return;
	doc_paragraph(d);
	doc_words(d, "%zu trial%s excluded by hand and counted as missing. ", p->excluded,
		  p->excluded == 1 ? " is" : "s are");
	if (isnan(x->mean))
		return;
	doc_words(d, "With them the difference would be %+.1f points", points(x->mean));
	if (!isnan(x->low))
		doc_words(d, " (%.1f to %.1f)", points(x->low), points(x->high));
	doc_words(d, ".");
}

static void put_gate(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	double margin = 100 * c->options.margin;

	if (c->options.margin <= 0)
		return;
	doc_paragraph(d);
	doc_words(d, "Gate: %s. ", compare_report_gate(p->gate));
	if (p->gate == STATS_PASS)
		doc_words(d, "It is not worse by %g points or more.", margin);
	else if (p->gate == STATS_FAIL)
		doc_words(d, "It is worse by more than %g points.", margin);
	else
		doc_words(d, "Whether it is worse by %g points is open.", margin);
	if (!isnan(p->gate_chance))
		doc_words(
			d,
			" Were both sides equal, this many tasks would pass with a chance of %.2f.",
			p->gate_chance);
}

static void put_first_tries(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	size_t n = c->standings[p->candidate].tally.replaced;
	if (p->candidate != p->baseline)
		n += c->standings[p->baseline].tally.replaced;
	if (!n)
		return;
	doc_paragraph(d);
	doc_words(d,
		  "%zu trial%s rerun because of an outcome (resume --retry): the first tries are "
		  "compared.",
		  n, n == 1 ? " was" : "s were");
}

static void put_bounds(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	if (!p->missing || c->options.missing != COMPARE_BOUNDS || isnan(p->worst.low))
		return;
	doc_paragraph(d);
	doc_words(d,
		  "%zu trial%s missing. Had the candidate's scored 0 and the baseline's 1, the "
		  "difference would be "
		  "%s (%s to %s); the other way round %s (%s to %s).",
		  p->missing, p->missing == 1 ? " is" : "s are", SIGNED_POINTS(c, p->worst.mean),
		  POINTS(c, p->worst.low), POINTS(c, p->worst.high), SIGNED_POINTS(c, p->best.mean),
		  POINTS(c, p->best.low), POINTS(c, p->best.high));
}

static void put_pairs(struct doc *d, const struct comparison *c)
{
	struct table t = {0};
	AUTO(free) char *interval = xasprintf("%g %% CI", 100 * c->options.level);

	table_column(&t, "candidate", TABLE_LEFT);
	table_column(&t, "baseline", TABLE_LEFT);
	table_column(&t, "points", TABLE_RIGHT);
	table_column(&t, interval, TABLE_WHOLE);
	table_column(&t, "p", TABLE_RIGHT);
	table_column(&t, "p (Holm)", TABLE_RIGHT);
	table_column(&t, "tasks", TABLE_RIGHT);
	table_column(&t, "worse", TABLE_RIGHT);
	table_column(&t, "better", TABLE_RIGHT);
	for (size_t i = 0; i < c->pairs_n; i++) {
		const struct compare_pair *p = &c->pairs[i];
		table_text(&t, candidate_of(c, p)->name);
		table_text(&t, baseline_of(c, p)->name);
		if (isnan(p->difference.low)) {
			table_missing(&t, NULL);
			table_missing(&t, NULL);
			table_missing(&t, NULL);
		} else {
			table_textf(&t, "%s", SIGNED_POINTS(c, p->difference.mean));
			table_textf(&t, "%s to %s", POINTS(c, p->difference.low),
				    POINTS(c, p->difference.high));
			table_real(&t, p->difference.p, DECIMALS);
		}
		table_real(&t, p->p_holm, DECIMALS);
		table_int(&t, (int64_t)p->difference.n);
		table_int(&t, (int64_t)p->regressions);
		table_int(&t, (int64_t)(p->flips_n - p->regressions));
	}
	doc_heading(d, 2);
	doc_words(d, "Comparisons");
	doc_table(d, &t);
}

/* What tests wrote beside their verdict. */
static void put_measures(struct doc *d, const struct comparison *c, const struct compare_pair *p)
{
	AUTO(compare_measures) struct compare_measures all = {0};
	AUTO(table) struct table t = {0};

	compare_measures_make(&all, c, p);
	if (!all.n)
		return;
	table_column(&t, "number", TABLE_LEFT);
	table_column(&t, candidate_of(c, p)->name, TABLE_RIGHT);
	table_column(&t, baseline_of(c, p)->name, TABLE_RIGHT);
	table_column(&t, "difference", TABLE_RIGHT);
	table_column(&t, "95 % CI", TABLE_RIGHT);
	table_column(&t, "p", TABLE_RIGHT);
	table_column(&t, "tasks", TABLE_RIGHT);
	for (size_t i = 0; i < all.n; i++) {
		const struct compare_measure *m = &all.v[i];
		table_textf(&t, "%s%s", m->name, m->self_reported ? " (self-reported)" : "");
		table_textf(&t, "%.6g", m->candidate);
		table_textf(&t, "%.6g", m->baseline);
		table_textf(&t, "%+.4g", m->difference.mean);
		if (isnan(m->difference.low)) {
			table_missing(&t, NULL);
			table_missing(&t, NULL);
		} else {
			table_textf(&t, "%.4g to %.4g", m->difference.low, m->difference.high);
			table_real(&t, m->difference.p, DECIMALS);
		}
		table_int(&t, (int64_t)m->difference.n);
	}
	doc_heading(d, 2);
	doc_words(d, "Numbers of the tests");
	doc_table(d, &t);
	doc_paragraph(d);
	doc_words(d, "Paired over tasks like scores, for tasks like these; whether more is better "
		     "is not known here.");
}

static void put_title(struct doc *d, const struct comparison *c)
{
	doc_heading(d, 1);
	if (c->pairs_n == 1) {
		doc_text(d, candidate_of(c, &c->pairs[0])->name);
		doc_words(d, " against ");
		doc_text(d, baseline_of(c, &c->pairs[0])->name);
	} else {
		doc_words(d, "%zu comparisons of %zu sides", c->pairs_n, c->sides->n);
	}
	if (c->live)
		doc_words(d, ": so far");
}

void compare_report_document(struct doc *d, const struct comparison *c, bool all)
{
	put_title(d, c);
	put_all_differences(d, c);
	compare_changes_put(d, c, all);
	doc_heading(d, 2);
	doc_words(d, c->pairs_n > 1 ? "Verdicts" : "Verdict");
	for (size_t i = 0; i < c->pairs_n; i++) {
		put_verdict(d, c, &c->pairs[i]);
		put_first_tries(d, c, &c->pairs[i]);
		put_bounds(d, c, &c->pairs[i]);
		put_excluded(d, &c->pairs[i]);
		put_gate(d, c, &c->pairs[i]);
		put_test(d, c, &c->pairs[i]);
	}
	put_sides(d, c);
	for (size_t i = 0; i < c->pairs_n; i++)
		put_measures(d, c, &c->pairs[i]);
	if (c->pairs_n > 1)
		put_pairs(d, c);
	for (size_t i = 0; i < c->pairs_n; i++)
		compare_flips_put(d, c, &c->pairs[i], all);
}

void compare_report_verdict_of(struct buf *out, const struct comparison *c,
			       const struct compare_pair *p)
{
	AUTO(doc) struct doc d = {0};

	put_verdict(&d, c, p);
	doc_terminal(&d, 0, out);
	while (out->len && out->data[out->len - 1] == '\n')
		out->data[--out->len] = '\0';
}

void compare_report_verdicts(struct buf *out, const struct comparison *c, int width)
{
	AUTO(doc) struct doc d = {0};

	for (size_t i = 0; i < c->pairs_n; i++)
		put_verdict(&d, c, &c->pairs[i]);
	doc_terminal(&d, width, out);
}

void compare_report(struct buf *out, const struct comparison *c, const struct report_form *form)
{
	AUTO(doc) struct doc d = {0};

	if (form->format == REPORT_JSON) {
		compare_json(out, c);
		return;
	}
	compare_report_document(&d, c, form->all_trials);
	report_document(out, &d, form);
}
