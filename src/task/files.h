/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * files.h -- the private part of struct task: its file trees, between task_read and task_snapshot.
 */
#pragma once
#include "task/filetree.h"
#include "task/task.h"

#define TASK_MAX_GOLD ((int64_t)256 << 20)

struct task_files {
	struct filetree app, repo;
	char *gold; /* the gold diff, below the task folder; NULL: none */
	char gold_digest[HASH_HEX];
	char environment[HASH_HEX]; /* of the Dockerfile and what it copies; "": none */
};

void task_files_free(struct task_files *files); /* accepts NULL */
/* Hash everything of T that can make a difference to a trial. */
void task_hash(struct task *t);

/* task.json, and back. */
json_t *task_to_json(const struct task *t);
int task_from_json(struct task *t, const json_t *j, const char *where, struct err *err) MUST_CHECK;
