/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollout-operand.h -- a rollout as the reading verbs take it: NAME (its latest), NAME@STAMP, NAME@DATE, NAME@TAG, a config
 * file in place of NAME, or the rollout's folder. NAME@S1,S2 is several that are read as one.
 */
#pragma once
#include "store/store.h"

/* ALL: every rollout of NAME, read as one. The caller releases *OUT. */
int rollout_operand_load(struct rollout *out, const char *data_dir, const char *operand, bool all,
			 struct err *err) MUST_CHECK;
/* The same by an option: SELECTORS may be several, "S1,S2"; NULL: the latest. */
int rollout_operand_select(struct rollout *out, const char *data_dir, const char *name,
			   const char *selectors, bool all, struct err *err) MUST_CHECK;
