/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * task-format.h -- private to task: the formats that a task folder may have. Whatever the format, a task becomes one
 * struct task and one kind of snapshot; nothing outside of this room asks which it was.
 */
#pragma once
#include "task/issues.h"
#include "task/task.h"

struct task_format {
	const char *file; /* what makes a folder one: the file with the task's facts */
	/* Fill T: its layout and all that stands in the folder DIR_FD, from overrides of SRC as well. T->dir is
	 * set, T->files is empty. What is wrong with the task goes to M; -1 only when the environment failed. */
	int (*read)(struct task *t, const struct task_source *src, int dir_fd, struct issues *m,
		    struct err *err);
};

extern const struct task_format task_prepared, task_harbor;
