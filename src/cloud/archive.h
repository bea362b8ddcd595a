/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * archive.h -- archives of attempts: made small before they go to the bucket, and as they were when they come from it.
 */
#pragma once
#include "aws/s3.h"

/* From the offsets at which the descriptors are, to the end. */
int archive_compress(int out_fd, int in_fd, struct err *err) MUST_CHECK;
int archive_expand(int out_fd, int in_fd, struct err *err) MUST_CHECK;
/* The archive KEY as PATH below DIR_FD, a tar. */
int archive_fetch(struct s3 *s, const char *key, int dir_fd, const char *path,
		  struct err *err) MUST_CHECK;
