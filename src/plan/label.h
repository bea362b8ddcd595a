/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * label.h -- the names of variants: entries of the same task and a common model are told apart by
 * the keys in which they differ, such as "TIMEOUT_SEC=1800". A label of the file's own stays as it
 * is.
 */
#pragma once
#include "plan/plan.h"

/* One label per entry, owned by the caller. An entry that is like a variant planned earlier keeps
 * its name, so that adding entries later renames nothing. */
char **plan_labels(const struct plan_input *in);
/* The variant of one model's trials of ENTRY, owned by the caller. It is LABEL, the entry's, unless trials planned
 * earlier have that label and other settings: then what differs from them is added, so that one row never holds both. */
char *plan_variant(const struct plan_input *in, size_t entry, size_t model,
		   const struct plan_route *route, const char *label);
