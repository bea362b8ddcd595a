/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * parcel.h -- a tree of files as one archive that travels: a tar whose members lie below "t" and whose last member,
 * manifest.json, names the SHA-256 of each file. Regular files, folders, symbolic links (as links), and hard links within
 * the tree. Owners are left out. All block.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"
#include "base/hash.h"

struct parcel {
	char sha256[HASH_HEX]; /* of the archive's bytes */
	int64_t bytes;
};

/* Write PATH below DIR_FD, a folder or a regular file, to OUT_FD, an empty file. LEAVE_OUT, which may be NULL, says which names
 * directly in PATH stay. Sockets and the like are left out. */
int parcel_write(struct parcel *out, int out_fd, int dir_fd, const char *path,
		 bool (*leave_out)(const char *name), struct err *err) MUST_CHECK;
/* Make TO below DIR_FD, which must not exist, out of the archive IN_FD, read from its start. ERR_USAGE when it is not the one
 * that *EXPECTED says (NULL: any), or a file is not what its manifest says; what was made by then is removed. */
int parcel_read(int in_fd, const struct parcel *expected, int dir_fd, const char *to,
		struct err *err) MUST_CHECK;
