/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * import.h -- writing one commit for `git fast-import`: a stream of changes to a file, then one
 * run. Contents come from descriptors the caller opened; git never opens a path of the tree.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

struct import {
	int fd; /* the stream; owned */
	struct buf buf;
	int64_t size; /* bytes of the stream so far */
};

#define IMPORT_REF "refs/heads/import"

/* The stream is an unnamed file in DIR_FD. */
int import_open(struct import *imp, int dir_fd, struct err *err) MUST_CHECK;
void import_close(struct import *imp);

/* Begin the commit IMPORT_REF on top of FROM (NULL: a root commit). */
int import_commit(struct import *imp, const char *from, int64_t date, const char *message,
		  struct err *err) MUST_CHECK;
int import_delete(struct import *imp, const char *path, struct err *err) MUST_CHECK;
/* An existing tree as PATH; "" is the root. */
int import_tree(struct import *imp, const char *path, const char *tree_id,
		struct err *err) MUST_CHECK;
int import_link(struct import *imp, const char *path, const char *target, size_t len,
		struct err *err) MUST_CHECK;
/* Exactly SIZE bytes of FD. *short_read: there were fewer, and nothing was added. */
int import_file(struct import *imp, const char *path, bool executable, int fd, int64_t size,
		bool *short_read, struct err *err) MUST_CHECK;

/* Run fast-import in the git directory GIT_DIR (relative to DIR_FD). */
int import_run(struct import *imp, int dir_fd, const char *git_dir, int64_t deadline_ms,
	       struct err *err) MUST_CHECK;
