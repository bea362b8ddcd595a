/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * export-work.h -- private to cmd: what agents did, as other programs want it: patches to be graded elsewhere, a leaderboard's
 * folder, conversations. Each tells on standard error what it leaves out, and why.
 */
#pragma once
#include <jansson.h>
#include "analysis/summary.h"

struct export_work {
	const char *output; /* NULL: standard output */
	const char *pick;   /* "first", or NULL: every rollout */
	const char *min_score;
	struct strv outcomes; /* only these; none: all */
	int root_fd;	      /* the data folder */
	const struct rollout *rollout;
	const struct summary *summary; /* of it */
};

/* A file of SWE-bench's predictions for each model and rollout. */
int export_predictions(const struct export_work *w, struct err *err) MUST_CHECK;
/* A folder as SWE-bench's leaderboard takes it, for each of them. */
int export_leaderboard(const struct export_work *w, struct err *err) MUST_CHECK;
/* JSON lines: each conversation of each trial, out of its recording. */
int export_messages(const struct export_work *w, struct err *err) MUST_CHECK;

/* JSON lines: each trial's conversations as one trajectory (model/trajectory.h). */
int export_atif(const struct export_work *w, struct err *err) MUST_CHECK;
/* The same of one trial: a new reference, NULL where nothing was recorded. */
int export_trajectory(json_t **out, const struct export_work *w, const struct summary_row *row,
		      struct err *err) MUST_CHECK;
/* The folder of a Harbor job, which must not be there yet. */
int export_harbor(const struct export_work *w, struct err *err) MUST_CHECK;

/* The models under test of ROW's condition as one name: with its label and agent where several are there. The caller frees. */
char *export_model(const struct summary *s, const struct summary_row *row);
