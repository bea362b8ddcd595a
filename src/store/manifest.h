/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * manifest.h -- the files people and scripts read beside the journal: manifest.json, runs.txt,
 * temp/rollout_NAME__STAMP.json, task_results/RUN_ID.json. All are derived and written atomically.
 */
#pragma once
#include "store/progress.h"
#include "store/planfile.h"
#include "store/store.h"

struct manifest {
	const struct store *store;
	const struct rollout_ref *ref;
	const struct planfile *plan;
	const struct trial_progress *progress; /* one per trial of the plan */
	int dir_fd;			       /* of the rollout */
};

/* runs.txt, the temp file and the folder task_results: once, when the plan is made or grows. */
int manifest_begin(const struct manifest *m, struct err *err) MUST_CHECK;
/* Where a run folder is, seen from a file of its rollout such as manifest.json; the caller frees. */
char *manifest_run_path(const char *run_id);
/* manifest.json as things stand. STATE: "running", "complete" or "incomplete". */
int manifest_write(const struct manifest *m, const char *state, struct err *err) MUST_CHECK;
/* The state in the manifest of REF, "" when there is none; the caller frees. */
char *manifest_state(const struct store *s, const struct rollout_ref *ref);
/* task_results/RUN_ID.json of trial I. RESULT is the one its progress was made from. */
int manifest_task_result(const struct manifest *m, size_t i, const json_t *result,
			 struct err *err) MUST_CHECK;
/* "launched", "launch_failed", or "planned" while neither. */
const char *manifest_status(const struct trial_progress *m);
