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
