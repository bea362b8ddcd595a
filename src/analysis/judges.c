/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "analysis/judges.h"
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/datadir.h"
#include "stats/rating.h"

#define CHECKED_MAX (1u << 20)
#define VOTES_MAX 99 /* of one rubric: what [judge] allows */

static void add_way(struct judges *j, const struct trial_result *t)
{
	for (size_t i = 0; i < j->ways_n; i++)
		/* Words of one rollout are kept once; a pool may have several. */
		if (strcmp(j->ways[i].model, t->origin->judge_model) == 0 &&
		    strcmp(j->ways[i].prompt, t->origin->judge_prompt) == 0) {
			j->ways[i].trials++;
			return;
		}
	GROW(j->ways, j->ways_n, j->ways_cap);
	j->ways[j->ways_n++] =
		(struct judges_way){t->origin->judge_model, t->origin->judge_prompt, 1};
}

static struct judges_rubric *rubric_of(struct judges *j, const char *id)
{
	for (size_t i = 0; i < j->rubrics_n; i++)
		if (strcmp(j->rubrics[i].id, id) == 0)
			return &j->rubrics[i];
	GROW(j->rubrics, j->rubrics_n, j->rubrics_cap);
	j->rubrics[j->rubrics_n] = (struct judges_rubric){.id = id};
	return &j->rubrics[j->rubrics_n++];
}

/* VOTES_MAX places for each trial, NAN where there is no vote. */
static void add_votes(struct judges_rubric *r, const json_t *votes)
{
	double low = 1, high = 0;
	size_t known = 0;

	for (size_t i = 0; i < VOTES_MAX; i++) {
		const json_t *v = json_array_get(votes, i);
		GROW(r->values, r->n, r->cap);
		r->values[r->n++] = json_is_number(v) ? json_number_value(v) : NAN;
		if (!json_is_number(v))
			continue;
		known++;
		low = json_number_value(v) < low ? json_number_value(v) : low;
		high = json_number_value(v) > high ? json_number_value(v) : high;
	}
	if (known < 2)
		return;
	r->trials++;
	r->spread += high - low;
}

/* The variance of the mean of VOTES, as far as two or more of them have a score; NAN: they have not. */
static double vote_variance(const json_t *votes)
{
	double sum = 0, squares = 0, n = 0;
	const json_t *v;
	size_t i;

	json_array_foreach ((json_t *)votes, i, v)
		if (json_is_number(v)) {
			n++;
			sum += json_number_value(v);
			squares += json_number_value(v) * json_number_value(v);
		}
	return n < 2 ? NAN : fmax(0, squares - sum * sum / n) / (n - 1) / n;
}

/* What votes on each rubric of a trial leave in its mean over rubrics. */
static double trial_variance(const json_t *judge_votes)
{
	const double n = (double)json_object_size(judge_votes);
	const char *id;
	json_t *votes;
	double sum = 0;

	json_object_foreach ((json_t *)judge_votes, id, votes)
		sum += vote_variance(votes);
	return sum / (n * n);
}

static void count_met(struct judges *j, const json_t *votes)
{
	double sum = 0;
	size_t i, known = 0;
	const json_t *v;

	json_array_foreach ((json_t *)votes, i, v) {
		known += json_is_number(v);
		sum += json_number_value(v);
	}
	if (2 * known <= json_array_size(votes))
		return;
	j->judged++;
	j->met += 2 * sum >= (double)known;
}

/* VALUES as add_votes left them, trial by trial; the arithmetic wants them vote by vote. */
static double alpha_of(const double *values, size_t n)
{
	const size_t units = n / VOTES_MAX;
	AUTO(free) double *turned = xcalloc(n + 1, sizeof *turned);

	for (size_t u = 0; u < units; u++)
		for (size_t v = 0; v < VOTES_MAX; v++)
			turned[v * units + u] = values[u * VOTES_MAX + v];
	return stats_krippendorff(turned, VOTES_MAX, units, STATS_INTERVAL);
}

static double alpha_of_all(const struct judges *j)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < j->rubrics_n; i++)
		n += j->rubrics[i].n;
	AUTO(free) double *all = xcalloc(n + 1, sizeof *all);
	for (size_t i = 0; i < j->rubrics_n; i++) {
		memcpy(all + at, j->rubrics[i].values, j->rubrics[i].n * sizeof *all);
		at += j->rubrics[i].n;
	}
	return alpha_of(all, n);
}

void judges_make(struct judges *out, const struct rollout *r)
{
	const char *id;
	json_t *votes;
	double variance = 0;
	size_t n = 0;

	*out = (struct judges){.alpha = NAN, .se = NAN};
	for (size_t i = 0; i < r->trials_n; i++) {
		const struct trial_result *t = &r->trials[i].result;

		if (!r->trials[i].has_result || !t->origin->judge_model || !t->origin->judge_prompt)
			continue;
		add_way(out, t);
		json_object_foreach (t->more->judge_votes, id, votes) {
			add_votes(rubric_of(out, id), votes);
			count_met(out, votes);
		}
		double one = trial_variance(t->more->judge_votes);
		n += !isnan(one);
		variance += isnan(one) ? 0 : one;
	}
	if (n)
		out->se = sqrt(variance) / (double)n;
	for (size_t i = 0; i < out->rubrics_n; i++) {
		struct judges_rubric *one = &out->rubrics[i];
		one->alpha = alpha_of(one->values, one->n);
		one->spread = one->trials ? one->spread / (double)one->trials : NAN;
	}
	if (out->rubrics_n)
		out->alpha = alpha_of_all(out);
}

void judges_release(struct judges *j)
{
	for (size_t i = 0; i < j->rubrics_n; i++)
		free(j->rubrics[i].values);
	free(j->rubrics);
	free(j->ways);
	*j = (struct judges){0};
}

/* NULL: this judge, asked in this way, was never checked. */
static json_t *read_checked(const struct judges *j, const struct rollout *r)
{
	AUTO(fd) int root = open(r->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_t *doc = NULL;
	struct err ignored;

	if (root < 0 || j->ways_n != 1)
		return NULL;
	AUTO(free) char *path = datadir_judge(j->ways[0].model, j->ways[0].prompt);
	return json_read(&doc, root, path, CHECKED_MAX, &ignored) ? NULL : doc;
}

struct judges_corrected judges_correct(const struct judges *j, const struct rollout *r,
				       double level)
{
	AUTO(json) json_t *checked = read_checked(j, r);
	const json_t *all = json_object_get(checked, "all");
	const double met = json_get_real(all, "met", 0), not_met = json_get_real(all, "not_met", 0);
	const struct stats_judge judge = {
		.p = (double)j->met / (double)j->judged,
		.n = (double)j->judged,
		.q0 = json_get_real(all, "not_met_found", 0) / not_met,
		.m0 = not_met,
		.q1 = json_get_real(all, "met_found", 0) / met,
		.m1 = met,
	};

	if (!j->judged || !(met > 0) || !(not_met > 0))
		return (struct judges_corrected){.known = false};
	struct stats_corrected fixed = stats_judge_correction(&judge, level);
	return (struct judges_corrected){
		.known = true,
		.sensitivity = judge.q1,
		.specificity = judge.q0,
		.examples = met + not_met,
		.theta = fixed.theta,
		.low = fixed.interval.low,
		.high = fixed.interval.high,
	};
}
