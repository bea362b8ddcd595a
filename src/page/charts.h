/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * charts.h -- the charts of a page, each a figure: its picture, what it says, its numbers as a table behind it. Each appends to
 * OUT, or a sentence that says why there is no picture. Private to this room.
 */
#pragma once
#include "page/series.h"
#include "report/table.h"

/* Means with their intervals. */
void chart_scores(struct buf *out, const struct series_list *l);
/* Each task under each condition, and where it differs from the first. */
void chart_tasks(struct buf *out, const struct series_list *l);
/* Money, or where it is not known tokens, of a trial against the mean, with those that nothing beats in both. */
void chart_cost(struct buf *out, const struct series_list *l);
/* pass@k and pass^k. */
void chart_rollouts(struct buf *out, const struct series_list *l);
/* How the planned trials ended. */
void chart_outcomes(struct buf *out, const struct series_list *l);

/* A figure around what a chart draws. WORDS: what it shows, of ours, without markup. The table is moved, and may be empty. */
void figure_begin(struct buf *out, const char *id, const char *title);
void figure_end(struct buf *out, const char *words, struct table *take);
/* The classes of lines and marks, "c0" ... "c7", by position. */
const char *chart_class(char out[8], size_t i);
