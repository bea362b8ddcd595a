/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * label.h -- the names of variants: entries of the same task and a common model are told apart by
 * the keys in which they differ, such as "TIMEOUT_SEC=1800". A label of the file's own stays as it
 * is.
 */
#pragma once
#include "plan/plan.h"

/* The trials planned earlier, put together by task: fifty thousand of them would be looked through for each entry and model. */
struct plan_earlier {
	const struct trial **v; /* by task hash, and then as planned */
	size_t n;
};
void plan_earlier_make(struct plan_earlier *out, const struct plan_input *in);
void plan_earlier_release(struct plan_earlier *e);
/* Those of the task that hashes so: the first of *N, borrowed. */
const struct trial *const *plan_earlier_of(const struct plan_earlier *e, const char *task_hash,
					   size_t *n);

/* One label per entry, owned by the caller. An entry that is like a variant planned earlier keeps
 * its name, so that adding entries later renames nothing. */
char **plan_labels(const struct plan_input *in, const struct plan_earlier *old);
/* The variant of one model's trials of ENTRY, owned by the caller. It is LABEL, the entry's, unless trials planned
 * earlier have that label and other settings: then what differs from them is added, so that one row never holds both. */
char *plan_variant(const struct plan_input *in, const struct plan_earlier *old, size_t entry,
		   size_t model, const struct plan_route *route, const char *label);
