/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tables that a summary has where there is something to tell in them. */
#include <math.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strv.h"
#include "report/tables.h"

#define BUILDS_NAMED 4
#define DECIMALS 3
#define CENT 4 /* decimals of money */

static const struct summary_group *widest(const struct summary *s)
{
	const struct summary_group *found = NULL;

	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].passes_n && (!found || s->groups[i].passes_n > found->passes_n))
			found = &s->groups[i];
	return found;
}

static void add_share(struct table *t, const struct summary_group *g, size_t i, bool hat)
{
	if (i < g->passes_n)
		table_score(t, (hat ? g->passes[i].hat : g->passes[i].at).mean);
	else
		table_missing(t, NULL);
}

static void solved_row(struct table *t, const struct summary *s, const struct summary_group *g,
		       size_t passes)
{
	tables_group_name(t, s, g);
	table_textf(t, "%zu/%zu", g->solved, g->tally.scored);
	for (size_t i = 0; i < passes; i++)
		add_share(t, g, i, false);
	for (size_t i = 1; i < passes; i++)
		add_share(t, g, i, true);
}

void tables_solved(struct table *out, const struct summary *s)
{
	const struct summary_group *w = widest(s);
	char name[32];

	if (!w)
		return;
	tables_group_columns(out, s);
	table_column(out, "solved", TABLE_RIGHT);
	for (size_t i = 0; i < w->passes_n; i++) {
		snprintf(name, sizeof name, "pass@%zu", w->passes[i].k);
		table_column(out, name, TABLE_RIGHT);
	}
	for (size_t i = 1; i < w->passes_n; i++) {
		snprintf(name, sizeof name, "pass^%zu", w->passes[i].k);
		table_column(out, name, TABLE_RIGHT);
	}
	for (size_t i = 0; i < s->groups_n; i++)
		if (s->groups[i].level != GROUP_ALL && s->groups[i].tally.scored)
			solved_row(out, s, &s->groups[i], w->passes_n);
}

static void add_time(struct table *t, int64_t ms)
{
	char text[16];

	if (ms < 0) {
		table_missing(t, NULL);
		return;
	}
	clock_human(ms, text);
	table_text(t, text);
}

void tables_effort(struct table *out, const struct summary *s)
{
	const struct summary_group *all = summary_all(s);
	bool timed = all->wall_median_ms >= 0, paid = all->money_usd > 0 && all->solved;

	if (!timed && !paid)
		return;
	tables_group_columns(out, s);
	if (paid)
		table_column(out, "USD per solved", TABLE_RIGHT);
	if (timed) {
		table_column(out, "time, median", TABLE_RIGHT);
		table_column(out, "time, 90 %", TABLE_RIGHT);
	}
	for (size_t i = 0; i < s->groups_n; i++) {
		const struct summary_group *g = &s->groups[i];
		if (!tables_has_group(s, g))
			continue;
		tables_group_name(out, s, g);
		if (paid && g->money_usd >= 0 && !g->unpriced && g->solved)
			table_real(out, g->money_usd / (double)g->solved, CENT);
		else if (paid)
			table_missing(out, g->unpriced ? "N/A" : NULL);
		if (timed) {
			add_time(out, g->wall_median_ms);
			add_time(out, g->wall_p90_ms);
		}
	}
}

void tables_outcomes(struct table *out, const struct summary *s)
{
	const struct summary_group *all = summary_all(s);

	if (all->states[OUTCOME_COMPLETED] == all->tally.planned)
		return;
	tables_group_columns(out, s);
	for (int k = 0; k < STATE_COUNT_; k++)
		if (all->states[k])
			table_column(out, summary_state_name(k), TABLE_RIGHT);
	table_column(out, "of", TABLE_RIGHT);
	for (size_t i = 0; i < s->groups_n; i++) {
		const struct summary_group *g = &s->groups[i];
		if (!tables_has_group(s, g))
			continue;
		tables_group_name(out, s, g);
		for (int k = 0; k < STATE_COUNT_; k++)
			if (all->states[k])
				table_int(out, (int64_t)g->states[k]);
		table_int(out, (int64_t)g->tally.planned);
	}
}

void tables_excluded(struct table *out, const struct summary *s)
{
	if (!summary_all(s)->states[STATE_EXCLUDED])
		return;
	table_column(out, "run", TABLE_WHOLE);
	table_column(out, "task", TABLE_LEFT);
	table_column(out, "score", TABLE_RIGHT);
	table_column(out, "by", TABLE_LEFT);
	table_column(out, "when", TABLE_LEFT);
	table_column(out, "reason", TABLE_LEFT);
	for (size_t i = 0; i < s->rows_n; i++) {
		const struct summary_row *row = &s->rows[i];
		const struct exclusion *e = trial_excluded(row->status);
		if (!e)
			continue;
		table_text(out, e->run_id);
		table_text(out, summary_task_name(s, row));
		if (row->status->has_result && row->status->result.scored)
			table_score(out, row->status->result.total_score);
		else
			table_missing(out, NULL);
		table_text(out, e->by);
		table_text(out, e->time);
		table_text(out, e->reason);
	}
}

void tables_builds(struct buf *out, const struct summary *s)
{
	AUTO(strv) struct strv builds = STRV_INIT;

	for (size_t i = 0; i < s->rows_n && builds.n < BUILDS_NAMED; i++) {
		const char *build = s->rows[i].status->result.origin->program;
		if (s->rows[i].standing == STANDING_SCORED && build && !strv_has(&builds, build))
			strv_push(&builds, build);
	}
	for (size_t i = 0; builds.n > 1 && i < builds.n; i++)
		buf_addf(out, "%s%s", i ? ", " : "", builds.v[i]);
}
