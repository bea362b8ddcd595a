/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * import-internal.h -- between what decides and writes the plan (import.c) and what makes one trial's folder (import-files.c).
 */
#pragma once
#include "core/result.h"
#include "harbor/job.h"
#include "rollout/import.h"
#include "store/planfile.h"

struct import {
	const struct import_request *q;
	struct harbor_job job;
	int job_fd;
	struct store store;
	struct rollout_ref ref;
	struct planfile plan;
	size_t left_out; /* entries of its folders that were not copied */
	size_t outside,
		means; /* trials whose reward is no score, and whose score is a mean of several */
};

/* What trial I came to, as result.json of ours. */
void import_result(struct import *m, size_t i, struct result *r);
/* Make its folder, with R and what Harbor kept of it. */
int import_folder(struct import *m, size_t i, const struct result *r, struct err *err) MUST_CHECK;
