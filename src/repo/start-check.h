/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * start-check.h -- whether a task can begin as it says, asked before anything of it runs.
 */
#pragma once
#include <stdint.h>
#include "base/err.h"
#include "base/strv.h"
#include "task/task.h"

/* ERR_USAGE when subdir, sparse_checkout or remove_repo_paths of R name what START (a full id or the name of a ref) does not
 * have, or a file of OVERLAY (paths in the checkout) cannot lie there. PATH, absolute: a repository on this machine, nothing of which
 * is written to; of its files only the trees are needed. 0 where it cannot be told: of a bundle, or where submodules are filled. */
int start_check(const char *path, const char *start, const struct task_repo *r,
		const struct strv *overlay, int64_t deadline_ms, struct err *err) MUST_CHECK;
