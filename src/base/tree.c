/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Open NAME as a directory without following a link, giving ourselves access if it is ours to give. */
static int open_dir(int dir_fd, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir_fd, name, flags);

	if (fd >= 0 || errno != EACCES)
		return fd;
	/* O_PATH never follows the last link here, so chmod through /proc changes this directory only. */
	AUTO(fd) int handle = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (handle < 0)
		return -1;
	AUTO(free) char *proc = xasprintf("/proc/self/fd/%d", handle);
	if (chmod(proc, 0700))
		return -1;
	return openat(dir_fd, name, flags);
}

static DIR *list_dir(int dir_fd)
{
	AUTO(fd) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		fd_steal(&fd);
	return d;
}

/* Rename CHILD's entry NAME to a fresh name in TOP. */
static int move_up(int child, const char *name, int top, unsigned *moved, struct err *err)
{
	char fresh[32];
	AUTO(fd) int grand = open_dir(child, name);

	if (grand >= 0)
		fchmod(grand, 0700); /* renaming a directory needs write access to it */
	do
		snprintf(fresh, sizeof fresh, ".rm.%u", (*moved)++);
	while (path_exists(top, fresh));
	if (renameat(child, name, top, fresh) && errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "remove %s", name);
	return 0;
}

/* Unlink what NAME in TOP holds and move its directories up to TOP. */
static int flatten(int top, const char *name, unsigned *moved, struct err *err)
{
	AUTO(fd) int child = open_dir(top, name);

	if (child < 0)
		return err_set(err, ERR_INFRA, errno, "remove %s", name);
	fchmod(child, 0700);
	AUTO(dir) DIR *d = list_dir(child);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "open %s", name);
	for (struct dirent *e; (e = readdir(d));) {
		if (is_dots(e->d_name) || !unlinkat(child, e->d_name, 0) ||
		    !unlinkat(child, e->d_name, AT_REMOVEDIR))
			continue;
		if (move_up(child, e->d_name, top, moved, err))
			return -1;
	}
	return 0;
}

/* Directories move up before they are emptied in their turn, so that a tree of any depth, which an agent
 * may have made, is removed with a handful of descriptors and no recursion. */
static int empty_dir(int top, struct err *err)
{
	unsigned moved = 0;

	for (bool again = true; again;) {
		again = false;
		AUTO(dir) DIR *d = list_dir(top);
		if (!d)
			return err_set(err, ERR_INFRA, errno, "open directory");
		for (struct dirent *e; (e = readdir(d));) {
			if (is_dots(e->d_name) || !unlinkat(top, e->d_name, 0) || errno == ENOENT ||
			    !unlinkat(top, e->d_name, AT_REMOVEDIR))
				continue;
			if (flatten(top, e->d_name, &moved, err))
				return -1;
			again = true;
		}
	}
	return 0;
}

int path_remove_tree(int dir_fd, const char *path, struct err *err)
{
	if (!unlinkat(dir_fd, path, 0) || errno == ENOENT)
		return 0;
	if (!unlinkat(dir_fd, path, AT_REMOVEDIR) || errno == ENOENT)
		return 0;
	AUTO(fd) int top = open_dir(dir_fd, path);
	if (top < 0)
		return err_set(err, ERR_INFRA, errno, "remove %s", path);
	fchmod(top, 0700);
	if (empty_dir(top, err))
		return err_wrap(err, "%s", path);
	if (unlinkat(dir_fd, path, AT_REMOVEDIR) && errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "remove %s", path);
	return 0;
}

static int copy_bytes(int in, int out, struct err *err)
{
	if (!ioctl(out, FICLONE, in))
		return 0;
	for (;;) {
		ssize_t n = copy_file_range(in, NULL, out, NULL, 1 << 30, 0);
		if (!n)
			return 0;
		if (n < 0)
			break;
	}
	if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return err_set(err, ERR_INFRA, errno, "copy");
	AUTO(free) char *block = xmalloc(1 << 16);
	for (;;) {
		ssize_t n = read(in, block, 1 << 16);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? err_set(err, ERR_INFRA, errno, "read") : 0;
		if (path_write_all(out, block, (size_t)n, err))
			return -1;
	}
}

static int keep_times(int fd, const struct stat *st, struct err *err)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};

	if (fchmod(fd, st->st_mode & 07777) || futimens(fd, times))
		return err_set(err, ERR_INFRA, errno, "set mode and time");
	return 0;
}

static int copy_file(int src_dir, const char *src, int dst_dir, const char *dst,
		     const struct stat *st, struct err *err)
{
	AUTO(fd) int in = openat(src_dir, src, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO(fd) int out =
		in < 0 ? -1 : openat(dst_dir, dst, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (out < 0)
		return err_set(err, ERR_INFRA, errno, "copy %s", src);
	if (copy_bytes(in, out, err) || keep_times(out, st, err))
		return err_wrap(err, "%s", src);
	return 0;
}

static int copy_link(int src_dir, const char *src, int dst_dir, const char *dst, struct err *err)
{
	char target[4097];
	ssize_t n = readlinkat(src_dir, src, target, sizeof target - 1);

	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read link %s", src);
	target[n] = '\0';
	if (symlinkat(target, dst_dir, dst))
		return err_set(err, ERR_INFRA, errno, "make link %s", dst);
	return 0;
}

/* SHARE: regular files by a hard link, if that is possible. */
static int copy_tree(int src_dir, const char *src, int dst_dir, const char *dst, bool share,
		     struct err *err);

static int copy_dir(int src_dir, const char *src, int dst_dir, const char *dst,
		    const struct stat *st, bool share, struct err *err)
{
	AUTO(fd) int from = openat(src_dir, src, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (from < 0 || mkdirat(dst_dir, dst, 0700))
		return err_set(err, ERR_INFRA, errno, "copy %s", src);
	AUTO(fd) int to = openat(dst_dir, dst, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = to < 0 ? NULL : list_dir(from);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "open %s", dst);
	for (struct dirent *e; (e = readdir(d));)
		if (!is_dots(e->d_name) && copy_tree(from, e->d_name, to, e->d_name, share, err))
			return err_wrap(err, "%s", src);
	return keep_times(to, st, err);
}

static int copy_tree(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst, bool share,
		     struct err *err)
{
	struct stat st;

	if (fstatat(src_dir_fd, src, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, errno, "stat %s", src);
	if (S_ISREG(st.st_mode) && share && !linkat(src_dir_fd, src, dst_dir_fd, dst, 0))
		return 0;
	if (S_ISREG(st.st_mode))
		return copy_file(src_dir_fd, src, dst_dir_fd, dst, &st, err);
	if (S_ISLNK(st.st_mode))
		return copy_link(src_dir_fd, src, dst_dir_fd, dst, err);
	if (S_ISDIR(st.st_mode))
		return copy_dir(src_dir_fd, src, dst_dir_fd, dst, &st, share, err);
	return err_set(err, ERR_INFRA, 0, "%s is neither a file, a directory nor a link", src);
}

int path_copy_tree(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst,
		   struct err *err)
{
	return copy_tree(src_dir_fd, src, dst_dir_fd, dst, false, err);
}

int path_share_tree(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst,
		    struct err *err)
{
	return copy_tree(src_dir_fd, src, dst_dir_fd, dst, true, err);
}

enum { FOREIGN_DEPTH = 32 };

static int copy_foreign(int src_dir, const char *src, int dst_dir, const char *dst, int depth,
			struct path_copied *told, struct err *err)
{
	struct stat st;

	if (fstatat(src_dir, src, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (S_ISREG(st.st_mode) && st.st_size <= told->left) {
		told->left -= st.st_size;
		st.st_mode = 0644;
		return copy_file(src_dir, src, dst_dir, dst, &st, err);
	}
	AUTO(fd)
	int from = S_ISDIR(st.st_mode) && depth < FOREIGN_DEPTH ? open_dir(src_dir, src) : -1;
	if (from < 0) {
		told->left_out++;
		return 0;
	}
	if (mkdirat(dst_dir, dst, 0755) && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "make directory %s", dst);
	AUTO(fd) int to = openat(dst_dir, dst, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = to < 0 ? NULL : list_dir(from);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "open %s", dst);
	for (struct dirent *e; (e = readdir(d));)
		if (!is_dots(e->d_name) &&
		    copy_foreign(from, e->d_name, to, e->d_name, depth + 1, told, err))
			return err_wrap(err, "%s", src);
	return 0;
}

int path_copy_files(int src_dir_fd, const char *src, int dst_dir_fd, const char *dst,
		    struct path_copied *told, struct err *err)
{
	return copy_foreign(src_dir_fd, src, dst_dir_fd, dst, 0, told, err);
}

char *path_make_temp_dir(const char *name, struct err *err)
{
	const char *top = getenv("TMPDIR");
	char *path = xasprintf("%s/%s-XXXXXX", top && *top == '/' ? top : "/tmp", name);

	if (mkdtemp(path))
		return path;
	err_set(err, ERR_INFRA, errno, "make a temporary folder %s (TMPDIR names another place)",
		path);
	free(path);
	return NULL;
}

void auto_temp_dir(char **path)
{
	struct err err;

	if (*path && path_remove_tree(AT_FDCWD, *path, &err))
		log_warn("%s: %s", *path, err.msg);
	free(*path);
}
