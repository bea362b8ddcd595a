/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * import.h -- results that were made elsewhere become a rollout here, to be summarized and compared beside others: the folder of a Harbor
 * job. What Harbor counts is counted, what it does not is missing with its reason. The folder stays as it is. Prints nothing.
 */
#pragma once
#include "base/strv.h"
#include "store/store.h"

struct import_request {
	const char *data_dir; /* made where it is missing */
	const char *path;     /* the folder of a Harbor job */
	const char *name; /* of the rollout's benchmark; NULL: its data set, else the job's name */
	const char *reward; /* the key that is the score; NULL: "reward", else their mean */
};

struct imported {
	struct rollout_ref ref;
	bool known; /* it is here already, and nothing was done */
	size_t trials, tasks, scored, unscored, missing;
};

/* NOTES: what is to be known of it, for people. OUT->ref is to be released when it succeeds. */
int import_harbor(struct imported *out, const struct import_request *q, struct strv *notes,
		  struct err *err) MUST_CHECK;
