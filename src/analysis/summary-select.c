/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "analysis/summary.h"
#include "base/cleanup.h"
#include "base/mem.h"

#define ROUNDING 1e-12

static int find_word(const char *option, const char *word, const char *const *words, size_t n,
		     int *out, struct err *err)
{
	AUTO(buf) struct buf list = BUF_INIT;

	*out = 0;
	for (size_t i = 1; i < n; i++) {
		if (word && strcmp(word, words[i]) == 0)
			*out = (int)i;
		buf_addf(&list, "%s%s", i > 1 ? ", " : "", words[i]);
	}
	if (word && !*out)
		return err_set(err, ERR_USAGE, 0, "--%s %s: one of %s", option, word, list.data);
	return 0;
}

int summary_selection_parse(struct summary_selection *out, const char *sort, const char *which,
			    struct err *err)
{
	static const char *const sorts[] = {"", "name", "mean", "spread", "time", "cost", "tokens"};
	static const char *const kinds[] = {"", "unsolved", "flaky", "solved", "differ"};
	int a, b;

	if (find_word("sort", sort, sorts, ARRAY_SIZE(sorts), &a, err) ||
	    find_word("tasks", which, kinds, ARRAY_SIZE(kinds), &b, err))
		return -1;
	out->sort = (enum summary_sort)a;
	out->which = (enum summary_which)b;
	return 0;
}

/* What all trials of one task say about it. */
struct task {
	size_t scored, solved;
	double lowest, highest; /* means of its cells */
};

static bool is_solved(const struct summary_row *row)
{
	return row->status->result.total_score > 1 - ROUNDING;
}

/* Of a cell with a score. */
static double mean_of(const struct summary_cell *c)
{
	return c->sum / (double)c->tally.scored;
}

static void look_at(struct task *tasks, const struct summary *s)
{
	for (size_t i = 0; i < s->tasks_n; i++)
		tasks[i] = (struct task){.lowest = INFINITY, .highest = -INFINITY};
	for (size_t i = 0; i < s->cells_n; i++) {
		const struct summary_cell *c = &s->cells[i];
		struct task *t = &tasks[c->task];
		for (size_t k = 0; k < c->tally.planned; k++) {
			const struct summary_row *row = &s->rows[c->first + k];
			t->scored += row->standing == STANDING_SCORED;
			t->solved += row->standing == STANDING_SCORED && is_solved(row);
		}
		if (!c->tally.scored)
			continue;
		t->lowest = fmin(t->lowest, mean_of(c));
		t->highest = fmax(t->highest, mean_of(c));
	}
}

static bool is_wanted(const struct task *t, enum summary_which which)
{
	switch (which) {
	case WHICH_UNSOLVED:
		return t->scored && !t->solved;
	case WHICH_FLAKY:
		return t->solved && t->solved < t->scored;
	case WHICH_SOLVED:
		return t->scored && t->solved == t->scored;
	case WHICH_DIFFER:
		return t->highest - t->lowest > ROUNDING;
	case WHICH_ALL:
		break;
	}
	return true;
}

bool summary_shows(const struct summary *s, const struct summary_row *row)
{
	if (!s->failed_only)
		return true;
	return row->state != OUTCOME_COMPLETED ||
	       (row->standing == STANDING_SCORED && !is_solved(row));
}

/* The value of a cell to sort by; what is not known comes last. */
struct key {
	size_t cell;
	double value;
	const char *name;
};

static double sum_of(const struct summary *s, const struct summary_cell *c, enum summary_sort sort)
{
	double sum = 0;
	bool known = false;

	for (size_t i = 0; i < c->tally.planned; i++) {
		const struct trial_status *t = s->rows[c->first + i].status;
		double value = sort == SORT_TIME   ? (double)t->result.wall_ms
			       : sort == SORT_COST ? t->result.money_usd
						   : (double)t->result.tokens;
		if (!t->has_result || value < 0)
			continue;
		sum += value;
		known = true;
	}
	return known ? -sum : INFINITY;
}

static double spread_of(const struct summary *s, const struct summary_cell *c)
{
	double low = INFINITY, high = -INFINITY;

	for (size_t i = 0; i < c->tally.planned; i++) {
		const struct summary_row *row = &s->rows[c->first + i];
		if (row->standing != STANDING_SCORED)
			continue;
		low = fmin(low, row->status->result.total_score);
		high = fmax(high, row->status->result.total_score);
	}
	/* Of two that reach as far, the one whose rollouts are more evenly divided. */
	return c->tally.scored ? -(high - low) + fabs(mean_of(c) - (low + high) / 2) : INFINITY;
}

static double value_of(const struct summary *s, const struct summary_cell *c,
		       enum summary_sort sort)
{
	if (sort == SORT_NONE || sort == SORT_NAME)
		return 0;
	if (sort == SORT_MEAN)
		return c->tally.scored ? mean_of(c) : INFINITY;
	return sort == SORT_SPREAD ? spread_of(s, c) : sum_of(s, c, sort);
}

static int by_key(const void *x, const void *y)
{
	const struct key *a = x, *b = y;

	if (a->value != b->value)
		return a->value < b->value ? -1 : 1;
	int order = a->name && b->name ? strcmp(a->name, b->name) : 0;
	return order ? order : (a->cell > b->cell) - (a->cell < b->cell);
}

static bool has_failed(const struct summary *s, const struct summary_cell *c)
{
	for (size_t i = 0; i < c->tally.planned; i++)
		if (summary_shows(s, &s->rows[c->first + i]))
			return true;
	return false;
}

void summary_select(struct summary *s, const struct summary_selection *how)
{
	AUTO(free) struct task *tasks = xcalloc(s->tasks_n + 1, sizeof *tasks);
	AUTO(free) struct key *keys = xcalloc(s->cells_n + 1, sizeof *keys);
	size_t n = 0;

	s->failed_only = how->failed;
	look_at(tasks, s);
	for (size_t i = 0; i < s->cells_n; i++) {
		const struct summary_cell *c = &s->cells[i];
		if (!is_wanted(&tasks[c->task], how->which) || !has_failed(s, c))
			continue;
		keys[n++] = (struct key){
			i, value_of(s, c, how->sort),
			how->sort == SORT_NONE ? NULL : summary_task_name(s, &s->rows[c->first])};
	}
	qsort(keys, n, sizeof *keys, by_key);
	s->shown_n = how->limit && how->limit < n ? how->limit : n;
	for (size_t i = 0; i < s->shown_n; i++)
		s->shown[i] = keys[i].cell;
}
