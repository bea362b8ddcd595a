/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * summary-json.h -- a summary for programs; docs/formats.md describes it. Private to this room.
 */
#pragma once
#include <jansson.h>
#include "analysis/summary.h"

/* All of S, which is made of R alone; new reference. */
json_t *summary_json(const struct summary *s, const struct rollout *r);
