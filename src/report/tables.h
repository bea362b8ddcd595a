/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tables.h -- the tables of a summary. Private to this room.
 */
#pragma once
#include "analysis/summary.h"
#include "report/table.h"

/* One row per trial. FULL: every column, for programs; else those in which trials differ. */
void tables_trials(struct table *out, const struct summary *s, bool full);
/* The columns that name a group, its name in them, and whether a table has a row for it: not for everything where that is
 * one model. */
void tables_group_columns(struct table *t, const struct summary *s);
void tables_group_name(struct table *t, const struct summary *s, const struct summary_group *g);
bool tables_has_group(const struct summary *s, const struct summary_group *g);
/* What solving means beside the mean: trials with a full score, pass@k and pass^k; empty where nothing was tried twice. */
void tables_solved(struct table *out, const struct summary *s);
/* Money per solved trial, and how long the agents took; empty where neither is known. */
void tables_effort(struct table *out, const struct summary *s);
/* How trials ended, of those planned; empty where all did in the same way. */
void tables_outcomes(struct table *out, const struct summary *s);
/* What somebody excluded, when and why; empty where nobody did. */
void tables_excluded(struct table *out, const struct summary *s);
/* One row per group, with an interval beside every mean. */
void tables_groups(struct table *out, const struct summary *s);
/* One row per task and condition: mean and max over rollouts. */
void tables_tasks(struct table *out, const struct summary *s);
/* What each of the several models of trials with roles cost; empty without such. */
void tables_models(struct table *out, const struct summary *s);
/* What the tests wrote, a metric after the other: one row per group that has it. */
void tables_measures(struct table *out, const struct summary *s);
void tables_failures(struct table *out, const struct summary *s);
/* "2 of 3 scores replace an earlier one; first tries: 0.250", or nothing. */
void tables_replaced(struct buf *out, const struct summary_group *g);
/* "0.1.0+A, 0.1.0+B": the programs that made what is scored, four at most; nothing where it was one. */
void tables_builds(struct buf *out, const struct summary *s);
/* Whether a trial was answered by another model than the one that it was planned with. */
bool tables_tell_answers(const struct summary *s);
/* "gpt-5.1", or "gpt-5.1 ×12; gpt-5 ×3"; of summary_answered_by(). */
void tables_answers(struct buf *out, const json_t *answered);
/* "0.410–0.840". */
void tables_range(struct table *t, double low, double high);
/* "3 tasks × 2–4 rollouts". */
void tables_basis(struct buf *out, const struct summary_group *g);
