/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * task-layout.h -- what a task looks like from inside its sandbox. A task's format decides it (task/task.h), the
 * snapshot keeps it, and the rooms that prepare, run and grade take every path from here.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"

enum { TASK_PATH_MAX = 256, TASK_USER_MAX = 128 };

/* Paths are absolute, and inside. */
struct task_layout {
	char app[TASK_PATH_MAX];  /* what the agent may see of the task folder: a copy, writable */
	char repo[TASK_PATH_MAX]; /* the workspace: what the agent changes there is its work */
	char instructions[TASK_PATH_MAX]; /* the file that holds the instruction */
	char notes[TASK_PATH_MAX];	  /* the agent may leave one for people; collected */
	char home[TASK_PATH_MAX];
	char results[TASK_PATH_MAX]; /* what tests write lies below it; evaluation only */
	/* Who the agent and the tests are, as struct sandbox_exec says it; "": the trial's own user. */
	char agent_user[TASK_USER_MAX], test_user[TASK_USER_MAX];
};

/* Of a prepared task: all below /app but the home, /home/agent; everybody is the trial's own user. */
extern const struct task_layout task_layout_prepared;

/* Put the workspace at PATH. Where that is /app or above it, what was in /app is in /task. Returns NULL, or why it cannot
 * be there, for people; *L is as it was then. */
const char *task_layout_set_repo(struct task_layout *l, const char *path) MUST_CHECK;

json_t *task_layout_to_json(const struct task_layout *l); /* new reference */
/* J NULL: a prepared task's, as every snapshot was before layouts were written down. ERR_USAGE naming WHERE. */
int task_layout_from_json(struct task_layout *out, const json_t *j, const char *where,
			  struct err *err) MUST_CHECK;
