/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/gate.h"
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "report/badge.h"
#include "report/number.h"

enum { PASSES_TOLD = 20 };

int gate_parse(struct gate *g, struct err *err)
{
	g->thresholds = xcalloc(g->under.n + 1, sizeof *g->thresholds);
	for (size_t i = 0; i < g->under.n; i++)
		if (threshold_parse(&g->thresholds[g->n++], g->under.v[i], false, err))
			return err_wrap(err, "--fail-under");
	if (g->each_task && threshold_parse(&g->thresholds[g->n++], g->each_task, true, err))
		return err_wrap(err, "--each-task");
	if (g->confident && !g->n)
		return err_set(err, ERR_USAGE, 0,
			       "--confident goes with --fail-under or --each-task");
	return 0;
}

int gate_check(struct gate *g, const struct rollout *r, const struct summary_options *options,
	       struct err *err)
{
	for (size_t i = 0; i < g->n; i++)
		if (threshold_check(&g->lines, &g->thresholds[i], g->confident, r, options, err))
			return -1;
	return 0;
}

static void tell_missing(struct buf *out, const struct threshold_line *l)
{
	if (l->missing)
		buf_addf(out, "; %zu of %zu trials %s no score%s", l->missing, l->planned,
			 l->missing == 1 ? "has" : "have",
			 l->verdict == THRESHOLD_OPEN ? ": rollouts resume" : "");
}

static void tell(const struct threshold_line *l)
{
	const double edge = l->of->at_least, value = l->by_low ? l->low : l->mean;
	char shown[NUMBER_TEXT], mean[NUMBER_TEXT];
	AUTO(buf) struct buf line = BUF_INIT;

	buf_addf(&line, "%s: %s: ", threshold_verdict_name(l->verdict), l->what);
	if (isnan(value))
		buf_adds(&line, isnan(l->mean) ? "no score" : "too little for an interval");
	else if (l->by_low)
		buf_addf(&line, "mean %s, lower end of the interval %s",
			 number_score(mean, l->mean), number_beside(shown, value, edge));
	else
		buf_addf(&line, "mean %s", number_beside(shown, value, edge));
	if (!isnan(value))
		buf_addf(&line, "%s%s", value < edge - 1e-12 ? " is under " : ", at least ",
			 l->of->text);
	tell_missing(&line, l);
	cmd_warn(line.data);
}

static void tell_all(const struct gate *g)
{
	size_t passes = 0;

	for (size_t i = 0; i < g->lines.n; i++) {
		const struct threshold_line *l = &g->lines.v[i];
		passes += l->verdict == THRESHOLD_PASS;
		if (l->verdict != THRESHOLD_PASS || passes <= PASSES_TOLD)
			tell(l);
	}
	if (passes > PASSES_TOLD) {
		AUTO(free) char *more = xasprintf("pass: %zu more", passes - PASSES_TOLD);
		cmd_warn(more);
	}
}

static int write_badge(const struct gate *g, const struct rollout *r, const struct summary *s,
		       struct err *err)
{
	static const enum badge_colour colours[] = {BADGE_GREEN, BADGE_RED, BADGE_GREY};
	const struct summary_group *all = summary_all(s);
	const size_t missing = all->tally.planned - all->tally.scored;
	enum badge_colour colour = g->n ? colours[threshold_worst(&g->lines)] : BADGE_BLUE;
	AUTO(buf) struct buf text = BUF_INIT, svg = BUF_INIT;
	char percent[NUMBER_TEXT];

	buf_adds(&text, all->tally.scored ? number_percent(percent, all->mean.mean) : "no score");
	if (missing)
		buf_addf(&text, ", %zu missing", missing);
	badge_svg(&svg, r->ref.name, text.data, colour);
	return path_write(AT_FDCWD, g->badge, svg.data, svg.len, 0644, false, err);
}

int gate_tell(const struct gate *g, const struct rollout *r, const struct summary *s,
	      struct err *err)
{
	tell_all(g);
	return g->badge ? write_badge(g, r, s, err) : 0;
}

int gate_status(const struct gate *g)
{
	static const int status[] = {CMD_OK, CMD_MISSING, CMD_INCONCLUSIVE};

	return status[threshold_worst(&g->lines)];
}

void gate_release(struct gate *g)
{
	for (size_t i = 0; i < g->n; i++)
		threshold_release(&g->thresholds[i]);
	free(g->thresholds);
	strv_release(&g->under);
	threshold_lines_release(&g->lines);
}
