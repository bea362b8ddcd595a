/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-changes.h -- what an evaluation changed, trial by trial and in the mean.
 */
#pragma once
#include <jansson.h>
#include "base/buf.h"

/* BEFORE and AFTER are the score lines of rollout/evaluation.h, of the same trials in the same order. Appends lines for people. */
void eval_changes(struct buf *out, const json_t *before, const json_t *after);
