/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-files.h -- private to eval: the JSON files a test may write. They come from code that ran
 * beside the agent's: whatever is in them is checked, bounded, and never an error of ours.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"
#include "core/metric.h"

#define EVAL_FILE_BYTES (1u << 20)

enum { METRICS_MAX = 200 }; /* of a trial */

/* Add the numbers of a metrics file, {NAME: NUMBER}, to METRICS. {"custom_metrics": {...}, "standard_metrics": {...}} may
 * stand around them. NaN and infinity are no numbers. */
void eval_take_metrics(struct metrics *metrics, const char *text, size_t len, bool self_reported,
		       struct strv *problems);
/* The details of a results file, {NAME: {"success": bool, "message": text}}; a new reference or
 * NULL. */
json_t *eval_take_details(const char *text, size_t len, struct strv *problems);
