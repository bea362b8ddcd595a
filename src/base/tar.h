/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tar.h -- tar archives as POSIX has them (ustar, with pax headers for what does not fit): regular files, directories and symbolic
 * links. The same members give the same bytes: owners are left out. All block.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "base/hash.h"

struct tar_member {
	char *path; /* owned */
	char *link; /* owned: where a symbolic link leads; NULL: it is none */
	bool is_dir;
	mode_t mode;   /* permissions */
	int64_t size;  /* of a regular file */
	int64_t mtime; /* seconds */
};
void tar_member_release(struct tar_member *m);

/* The header of M; SIZE bytes follow, and then tar_write_pad. */
int tar_write_head(int fd, const struct tar_member *m, struct err *err) MUST_CHECK;
int tar_write_pad(int fd, int64_t size, struct err *err) MUST_CHECK;
int tar_write_end(int fd, struct err *err) MUST_CHECK;

/* The next member of what is read from FD, a file or a pipe. 1: *OUT is its header, the caller reads SIZE bytes and then calls
 * tar_read_pad; 0: the archive is over; -1: ERR_USAGE for what is damaged, and for members of other kinds. */
int tar_read_head(int fd, struct tar_member *out, struct err *err) MUST_CHECK;
int tar_read_pad(int fd, int64_t size, struct err *err) MUST_CHECK;
/* Exactly N bytes; ERR_USAGE when it ends before. */
int tar_read(int fd, void *to, size_t n, struct err *err) MUST_CHECK;
/* The SIZE bytes of the regular file M, and their padding, into a new file PLACE below DIR_FD with its permissions and time. */
int tar_read_file(int fd, const struct tar_member *m, int dir_fd, const char *place,
		  char sha256[HASH_HEX], struct err *err) MUST_CHECK;
