/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * patch.h -- copying git's patch into a file while counting it, cut off at a whole file when too
 * long.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

struct patch {
	int fd; /* borrowed; a regular file */
	off_t start;
	int64_t max;
	int64_t bytes, added, removed, files; /* of whole files, once finished */
	bool truncated;
	/* The file being copied. */
	struct buf line; /* the beginning of the current line, until it tells what the line is */
	struct buf out;
	bool in_line, in_hunk;
	int64_t file_at, file_added, file_removed;
};

int patch_begin(struct patch *p, int fd, int64_t max, struct err *err) MUST_CHECK;
/* Returns 1 when the limit was reached: what follows is of no interest. For git_stream(). */
int patch_add(void *patch, const char *data, size_t n, struct err *err) MUST_CHECK;
int patch_end(struct patch *p, struct err *err) MUST_CHECK;
void patch_release(struct patch *p);
