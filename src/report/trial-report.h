/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trial-report.h -- what became of one trial, for people: scoring_results.md.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "core/result.h"
#include "core/trial.h"
#include "report/doc.h"
#include "task/task.h"

struct trial_report {
	const struct attempt *attempt;
	const struct task *task;
	const struct result *result;
	const json_t *evaluation; /* evaluation_results.json */
	const char *diff;	  /* the first bytes of it */
	size_t diff_len;
	bool diff_cut; /* there is more */
};

/* Append it to D. Links nothing but libc and jansson: the worker writes it. */
void trial_report_make(struct doc *d, const struct trial_report *r);
