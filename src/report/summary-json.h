/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * summary-json.h -- a summary for programs; docs/formats.md describes it. Private to this room.
 */
#pragma once
#include "base/buf.h"
#include "analysis/summary.h"

/* Append all of S, which is made of R alone, as one JSON object and a newline. */
void summary_json(struct buf *out, const struct summary *s, const struct rollout *r);
