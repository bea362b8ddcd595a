/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * report.h -- what a rollout on disk says, for people and programs. Renders into buffers; prints
 * nothing. A missing trial (infra_error, cancelled, not run) is shown as missing and is never
 * counted as a zero.
 */
#pragma once
#include "analysis/summary.h"
#include "base/buf.h"
#include "base/err.h"
#include "report/doc.h"
#include "store/store.h"

enum report_format {
	REPORT_TERMINAL,
	REPORT_MARKDOWN,
	REPORT_HTML,
	REPORT_CSV,
	REPORT_SHEET,
	REPORT_JSON
};

struct report_form {
	enum report_format format;
	int width;	 /* as report_width(); for the terminal alone */
	bool all_trials; /* list each trial: else the terminal does where they are few, Markdown never */
	size_t max_bytes; /* of Markdown; the least telling rows are left out, and said to be; 0: any number */
};

/* Append what S says, the summary of R alone: what is missing, means with intervals, tasks, failures by reason, and the
 * trials where there are few. CSV holds the table of trials only. */
void report_summary(struct buf *out, const struct summary *s, const struct rollout *r,
		    const struct report_form *form);
/* Append D as TERMINAL, MARKDOWN or HTML. */
void report_document(struct buf *out, const struct doc *d, const struct report_form *form);
/* Write it to DATA/rollouts/NAME/STAMP/summary.md, atomically. */
int report_write_summary(const struct store *store, const struct summary *s,
			 const struct rollout *r, struct err *err) MUST_CHECK;
/* Read the rollout and write its summary.md anew: something that it says has changed. */
int report_refresh_summary(const struct store *store, const struct rollout_ref *ref,
			   struct err *err) MUST_CHECK;
/* The score in a few words, a line for each model or setting:
 * "score of gpt-5: 0.625 [0.410, 0.840], 3 tasks × 2 rollouts, 1 of 6 missing". */
void report_headlines(struct strv *out, const struct summary *s);
/* "New files that diffs leave out ...": of how many trials, and why; nothing where there are none. */
void report_left_out(struct buf *out, const struct rollout *r);
/* The overall mean over task means; false when nothing is scored. REPLACED scores are reruns that somebody asked for because of an
 * outcome; FIRST is the mean of the first tries then, NAN: none was scored. */
bool report_mean(const struct rollout *r, double *mean, size_t *replaced, double *first);
/* Parts of the summary's document, for a page that shows the rest as charts: its title and counts; its notes, what was
 * excluded, measured, failed and spent, and what to do next. */
void report_document_top(struct doc *d, const struct summary *s, const struct rollout *r);
void report_document_rest(struct doc *d, const struct summary *s, const struct rollout *r);
/* Columns of the terminal FD, 0 when it is none. */
int report_width(int fd);
