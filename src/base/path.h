/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * path.h -- files by descriptor. Nothing here follows a symbolic link in the last component, and the
 * *_beneath functions follow none at all and never leave DIR_FD. All block; all return -1 with *err.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

/* "A/B" with exactly one slash; the caller owns it. */
char *path_join(const char *a, const char *b);
/* Not empty, not absolute, no ".." or "." component, no empty component but a trailing slash. */
bool path_is_inside(const char *path);
/* Whether PATH is FOLDER or below it, by their words alone: neither ends in a slash or has "..". */
bool path_is_within(const char *path, const char *folder);
/* The last component, borrowed. "a/b/" gives "b/": strip slashes first. */
const char *path_base(const char *path);
/* What stands before it, "." where nothing does; the caller frees. */
char *path_folder(const char *path);

/* openat2 with RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_MAGICLINKS. Returns the fd (O_CLOEXEC) or -1. */
int path_open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
		      struct err *err) MUST_CHECK;
/* mkdir -p below DIR_FD, following no link. */
int path_make_dirs(int dir_fd, const char *path, mode_t mode, struct err *err) MUST_CHECK;
/* Append a regular file's bytes to OUT; ERR_LIMIT above MAX. Follows no link in the last component. */
int path_read(int dir_fd, const char *path, size_t max, struct buf *out,
	      struct err *err) MUST_CHECK;
/* As path_read, but no link in any component and never outside DIR_FD: for files an agent could reach. */
int path_read_beneath(int dir_fd, const char *path, size_t max, struct buf *out,
		      struct err *err) MUST_CHECK;
int path_read_fd(int fd, size_t max, struct buf *out, struct err *err) MUST_CHECK;
/* Write to a temporary name beside PATH and rename over it. SYNC: fsync the file and its directory. */
int path_write(int dir_fd, const char *path, const void *data, size_t n, mode_t mode, bool sync,
	       struct err *err) MUST_CHECK;
/* Everything written so far to the file system that FD is of is on its disk: one wait for many files (syncfs). */
int path_sync_all(int fd, struct err *err) MUST_CHECK;
int path_write_all(int fd, const void *data, size_t n, struct err *err) MUST_CHECK;
/* Replace PATH by a symbolic link to TARGET, atomically. */
int path_link(int dir_fd, const char *target, const char *path, struct err *err) MUST_CHECK;
/* rm -rf below DIR_FD, by descriptors, any depth, following nothing; makes directories of ours
 * accessible first. A missing PATH is success. */
int path_remove_tree(int dir_fd, const char *path, struct err *err) MUST_CHECK;
/* A folder of our own, NAME-XXXXXX below TMPDIR or /tmp; AUTO(temp_dir) removes it with all that is in it. NULL: ERR_INFRA. */
char *path_make_temp_dir(const char *name, struct err *err);
void auto_temp_dir(char **path);
/* Copy a tree of regular files, directories and symbolic links (as links), with modes and mtimes;
 * reflinks where the file system can. DST must not exist. */
int path_copy_tree(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst,
		   struct err *err) MUST_CHECK;
/* The same of regular files and folders alone, for a tree that somebody else made: what is anything else, too deep, or more than
 * LEFT bytes in all is not copied, and counted. DST may exist. */
struct path_copied {
	int64_t left;
	size_t left_out;
};
int path_copy_files(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst,
		    struct path_copied *told, struct err *err) MUST_CHECK;
/* The same, with the very files of SRC (hard links) where the file system and their owner allow it. */
int path_share_tree(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst,
		    struct err *err) MUST_CHECK;
/* Where FD is, by /proc; "" when that cannot be told. The caller owns it. */
char *path_of_fd(int fd);
void path_touch(int dir_fd, const char *path);	/* it is new again, where it may be */
bool path_exists(int dir_fd, const char *path); /* without following a last link */
bool path_is_dir(int dir_fd, const char *path); /* following links */
