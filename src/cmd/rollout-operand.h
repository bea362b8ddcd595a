/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollout-operand.h -- a rollout as the reading verbs take it: NAME (its latest), NAME@STAMP, NAME@DATE, NAME@TAG, a config
 * file in place of NAME, or the rollout's folder. NAME@S1,S2 is several that are read as one.
 */
#pragma once
#include "store/store.h"

struct rollout_operand_how {
	const char *data_dir;
	bool all;      /* every rollout of the name, read as one */
	bool measured; /* as in rollout_how */
};
/* The caller releases *OUT. */
int rollout_operand_load(struct rollout *out, const struct rollout_operand_how *how,
			 const char *operand, struct err *err) MUST_CHECK;
/* The same by an option: SELECTORS may be several, "S1,S2"; NULL: the latest. */
int rollout_operand_select(struct rollout *out, const struct rollout_operand_how *how,
			   const char *name, const char *selectors, struct err *err) MUST_CHECK;
