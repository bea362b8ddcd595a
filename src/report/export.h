/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * export.h -- one row per trial for other programs, with columns that stay: docs/formats.md lists them. Nothing is rounded, and
 * what is not known is empty or null.
 */
#pragma once
#include "analysis/summary.h"
#include "base/buf.h"

enum export_format {
	EXPORT_CSV,
	EXPORT_JSONL,	/* tags as a list, metrics as an object */
	EXPORT_PARQUET, /* JSON lines in which each column has one plain type in every row: lists and objects are JSON text */
	EXPORT_JUNIT, /* a test suite for each model, a test case for each trial: it fails without a full score */
};

int export_format_parse(const char *word, enum export_format *out, struct err *err) MUST_CHECK;
/* Append all trials of R, of which S is the summary. */
void export_trials(struct buf *out, const struct summary *s, const struct rollout *r,
		   enum export_format format);
