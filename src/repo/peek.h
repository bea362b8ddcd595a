/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * peek.h -- what a repository elsewhere lacks, asked without fetching its files.
 */
#pragma once
#include <stdint.h>
#include "base/err.h"
#include "base/strv.h"
#include "task/task.h"

/* As source_look_for_hollow, of START (a full id or the name of a ref; NULL: HEAD) in the remote repository of R: its trees are
 * fetched, and the few blobs that say it, into a temporary folder; and ERR_USAGE as start_check has it. Nothing where the other side
 * does not give that, or not in time. */
int peek_at_start(struct strv *hollow, const char *start, const struct task_repo *r,
		  int64_t deadline_ms, struct err *err) MUST_CHECK;
