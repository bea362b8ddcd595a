/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trial-report-judge.h -- private to report: what a judge said, in the report of a trial.
 */
#pragma once
#include <jansson.h>
#include "report/doc.h"

/* EVALUATION is evaluation_results.json. The table of rubrics; a line where nobody judged. */
void trial_report_judge_table(struct doc *d, const json_t *evaluation);
/* The judge's reasons, rubric by rubric. */
void trial_report_judge_details(struct doc *d, const json_t *evaluation);
