/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tree.h -- what of the start commit's tree goes into a baseline.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "repo/overlay.h"
#include "task/task.h"

struct tree_entry {
	const char *path; /* borrowed from struct tree */
	unsigned mode;	  /* octal as git writes it: 0100644, 0120000, 0160000 ... */
	bool gone;
	bool listed, wanted; /* while marking */
};

struct tree {
	struct buf raw;
	struct tree_entry *entries; /* sorted by path */
	size_t n, cap;
};

/* List the files of START with the git directory GIT_DIR ("GIT_DIR=...") below DIR_FD, whose index
 * is used. */
int tree_list(struct tree *t, int dir_fd, const char *git_dir, const char *start,
	      int64_t deadline_ms, struct err *err) MUST_CHECK;
void tree_release(struct tree *t);
/* Mark what subdir, sparse_checkout and remove_repo_paths take away. */
int tree_mark(struct tree *t, int dir_fd, const char *git_dir, const struct task_repo *r,
	      int64_t deadline_ms, struct err *err) MUST_CHECK;
/* ERR_USAGE when a file of the overlay would go through a link or a file, or hide a directory. */
int tree_check_overlay(const struct tree *t, const struct overlay *o, struct err *err) MUST_CHECK;
/* PATH without trailing slashes, or NULL for none and for "."; the caller frees. */
char *tree_subdir(const struct task_repo *r);
