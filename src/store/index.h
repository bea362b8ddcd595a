/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * index.h -- DATA/index.db: what tables and comparisons need of large rollouts, as it is held in memory. A cache of plan.json
 * and events.jsonl, never trusted over them: whatever is wrong with it, the files are read. docs/design.md says what makes
 * it worthless. Nothing here fails.
 */
#pragma once
#include "store/store.h"

/* The two files as they were, so that it is seen when they are others. */
struct index_files {
	struct index_file {
		int64_t device, inode, size, mtime_ns, ctime_ns;
	} plan, journal;
};

/* DIR_FD: of the rollout. False: there is no index here, or reading its files takes no time worth keeping. */
bool index_files_of(struct index_files *out, const struct store *s, int dir_fd);
/* Fill in what R has of its trials: memory, trials, cost, damaged_lines; all or nothing. R->ref names it. */
bool index_get(struct rollout *r, const struct store *s, const struct index_files *files);
void index_forget(struct rollout *r); /* undoes index_get */
/* Keep the same of R, which was read from FILES and does not run. */
void index_put(const struct rollout *r, const struct store *s, const struct index_files *files);
