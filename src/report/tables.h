/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tables.h -- the tables of a summary. Private to this room.
 */
#pragma once
#include "analysis/summary.h"
#include "report/table.h"

/* One row per trial. FULL: every column, for programs; else those in which trials differ. */
void tables_trials(struct table *out, const struct summary *s, bool full);
/* One row per group, with an interval beside every mean. */
void tables_groups(struct table *out, const struct summary *s);
/* One row per task and condition: mean and max over rollouts. */
void tables_tasks(struct table *out, const struct summary *s);
/* What the tests wrote, a metric after the other: one row per group that has it. */
void tables_measures(struct table *out, const struct summary *s);
void tables_failures(struct table *out, const struct summary *s);
/* "2 of 3 scores replace an earlier one; first tries: 0.250", or nothing. */
void tables_replaced(struct buf *out, const struct summary_group *g);
/* Whether a trial was answered by another model than the one that it was planned with. */
bool tables_tell_answers(const struct summary *s);
/* "gpt-5.1", or "gpt-5.1 ×12; gpt-5 ×3"; of summary_answered_by(). */
void tables_answers(struct buf *out, const json_t *answered);
/* "3 tasks × 2–4 rollouts". */
void tables_basis(struct buf *out, const struct summary_group *g);
