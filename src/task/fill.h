/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fill.h -- from the resolved documents to struct task, with every rule on values.
 */
#pragma once
#include "task/resolved.h"
#include "task/task.h"

#define TASK_MAX_INSTRUCTION ((size_t)1 << 20)
#define TASK_MAX_TEST ((size_t)16 << 20)

/* T->dir is set. DIR_FD is the task folder: tests without content are read from its evaluation/. -1
 * only when the environment failed; what is wrong with the task goes to M. */
int task_fill(struct task *t, const struct resolved *r, int dir_fd, struct issues *m,
	      struct err *err) MUST_CHECK;
