/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * kept-out.h -- what of a task folder goes neither to an agent nor into an image, whatever folder it lies in.
 */
#pragma once
#include "task/filetree.h"
#include "task/task.h"

/* A file that holds credentials, by its name: .env, .netrc, .npmrc, id_rsa and their like, at any depth. */
bool kept_out_by_name(const char *path);
/* Remove from TREE copies of T's tests and of its gold diff, under any name; each is appended to
 * REMOVED. */
void kept_out_by_content(struct filetree *tree, const struct task *t, struct strv *removed);
