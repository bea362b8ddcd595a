/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOUNT_DEPTH 64 /* folders below one that is emptied */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
/* linux/openat2.h, which musl does not bring. */
struct open_how_ {
	uint64_t flags, mode, resolve;
};
#define RESOLVE_NO_MAGICLINKS_ 0x02
#define RESOLVE_NO_SYMLINKS_ 0x04
#define RESOLVE_BENEATH_ 0x08

static int root = -1; /* of a confined sandbox: below it our files lie */
static char root_path[4096];

int file_root(int fd, const char *path)
{
	if (*path != '/' || strlen(path) >= sizeof root_path)
		return EINVAL;
	root = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	memcpy(root_path, path, strlen(path) + 1);
	return root < 0 ? errno : 0;
}

/* PATH as seen from the root; NULL: it lies elsewhere. */
static const char *below_root(const char *path)
{
	const size_t n = root < 0 ? 0 : strlen(root_path);

	return strncmp(path, root_path, n) || path[n] != '/' ? NULL : path + n;
}

/* What runs beside us may have taken the rights to a directory from itself and so from us, which have the
 * same user; as its owner we take them back. Without effect on what is not ours. */
static void take_rights(int dir)
{
	if (faccessat(dir, ".", R_OK | W_OK | X_OK, 0))
		fchmod(dir, 0755);
}

/* Open NAME below DIR, a directory, with all rights to it. */
static int open_dir(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	struct stat st;
	int fd = openat(dir, name, flags);

	if (fd < 0 && errno == EACCES && !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) &&
	    S_ISDIR(st.st_mode) && !fchmodat(dir, name, 0755, 0))
		fd = openat(dir, name, flags);
	if (fd >= 0)
		take_rights(fd);
	return fd;
}

/* Remove what is in FD. The first directory that is not empty is opened instead of that: returns its
 * descriptor, or -1 with errno 0 when FD is empty now. */
static int empty_or_enter(int fd)
{
	int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = listed < 0 ? NULL : fdopendir(listed);
	struct dirent *e;
	int below = -1, error = d ? 0 : errno;

	while (d && below < 0 && !error && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !unlinkat(fd, e->d_name, 0) || !unlinkat(fd, e->d_name, AT_REMOVEDIR))
			continue;
		if (errno != ENOTEMPTY && errno != EEXIST)
			error = errno;
		else if ((below = open_dir(fd, e->d_name)) < 0)
			error = errno;
	}
	if (d)
		closedir(d);
	else if (listed >= 0)
		close(listed);
	errno = error;
	return below;
}

/* Remove a directory of any depth with a handful of descriptors. The way up is by "..": nothing that could
 * move it runs now, and if it did, we can reach nothing that it cannot. */
static int remove_dir(int dir, const char *name)
{
	int fd = open_dir(dir, name);
	int error = fd < 0 ? errno : 0;

	for (unsigned depth = 0; fd >= 0;) {
		int next = empty_or_enter(fd);
		error = errno;
		if (next >= 0) {
			depth++;
		} else if (!error && depth) {
			depth--;
			next = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			error = next < 0 ? errno : 0;
		}
		close(fd);
		fd = next;
	}
	if (!error && unlinkat(dir, name, AT_REMOVEDIR))
		error = errno;
	return error;
}

/* Remove what is in FD but mounts, and the folders above those: *MOUNTS then. */
static int empty(int fd, int depth, bool *mounts)
{
	const int listed = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = listed < 0 ? NULL : fdopendir(listed);
	int error = d ? 0 : errno;
	struct dirent *e;

	while (d && !error && (e = readdir(d))) {
		bool below = false;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !unlinkat(fd, e->d_name, 0) || !unlinkat(fd, e->d_name, AT_REMOVEDIR))
			continue;
		if (errno == EBUSY) {
			*mounts = true;
			continue;
		}
		if (errno != ENOTEMPTY && errno != EEXIST) {
			error = errno;
			continue;
		}
		/* We mount nothing as deep as that. */
		if (depth == MOUNT_DEPTH) {
			error = remove_dir(fd, e->d_name);
			continue;
		}
		const int child = open_dir(fd, e->d_name);
		error = child < 0 ? errno : empty(child, depth + 1, &below);
		if (child >= 0)
			close(child);
		*mounts |= below;
		if (!error && !below && unlinkat(fd, e->d_name, AT_REMOVEDIR))
			error = errno;
	}
	if (d)
		closedir(d);
	else if (listed >= 0)
		close(listed);
	return error;
}

int file_empty(const char *path)
{
	bool mounts = false;
	const int fd = open_dir(AT_FDCWD, path);

	if (fd < 0)
		return errno == ENOENT ? 0 : errno;
	const int error = empty(fd, 0, &mounts);
	close(fd);
	return error;
}

/* Open NAME below DIR as a directory, making it one if it is anything else. */
static int enter(int dir, const char *name)
{
	int fd = open_dir(dir, name);

	if (fd >= 0)
		return fd;
	if (errno == ENOTDIR || errno == ELOOP) {
		if (unlinkat(dir, name, 0))
			return -1;
	} else if (errno != ENOENT) {
		return -1;
	}
	if (mkdirat(dir, name, 0755) && errno != EEXIST)
		return -1;
	return open_dir(dir, name);
}

/* The directory of PATH, made as needed; *NAME points at the last component. */
static int enter_parent(char *path, char **name)
{
	int dir = root < 0 ? open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			   : fcntl(root, F_DUPFD_CLOEXEC, 3);
	char *save, *part = strtok_r(path, "/", &save), *next;

	for (; dir >= 0 && part; part = next) {
		next = strtok_r(NULL, "/", &save);
		if (!strcmp(part, ".") || !strcmp(part, ".."))
			break;
		if (!next) {
			*name = part;
			return dir;
		}
		int child = enter(dir, part);
		int error = errno;
		close(dir);
		dir = child;
		errno = error;
	}
	if (dir >= 0) {
		close(dir);
		errno = EINVAL;
	}
	return -1;
}

static int copy(int from, int to)
{
	off_t at = 0;
	ssize_t n;

	while ((n = sendfile(to, from, &at, 1 << 20)) > 0)
		;
	return n < 0 ? errno : 0;
}

static int write_new(int dir, const char *temp, mode_t mode, int content)
{
	int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno;
	int error = copy(content, fd);
	if (!error && fchmod(fd, mode & 0777))
		error = errno;
	close(fd);
	return error;
}

int file_put(const char *path, mode_t mode, int content)
{
	char copy_of[4096], temp[32], *name;
	static unsigned counter;

	path = below_root(path);
	if (content < 0 || !path || snprintf(copy_of, sizeof copy_of, "%s", path) < 2)
		return EINVAL;
	int dir = enter_parent(copy_of, &name);
	if (dir < 0)
		return errno;
	snprintf(temp, sizeof temp, ".rollouts-put-%u", counter++);
	unlinkat(dir, temp, 0);
	int error = write_new(dir, temp, mode, content);
	if (!error && renameat(dir, temp, dir, name)) {
		error = errno;
		/* A directory is where the file goes. */
		if (error == EISDIR || error == ENOTEMPTY || error == EEXIST) {
			error = remove_dir(dir, name);
			if (!error && renameat(dir, temp, dir, name))
				error = errno;
		}
	}
	if (error)
		unlinkat(dir, temp, 0);
	close(dir);
	return error;
}

int file_get(const char *path)
{
	/* O_NONBLOCK: neither a FIFO nor a lease held by an agent may make us wait. */
	struct open_how_ how = {.flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
				.resolve = RESOLVE_NO_SYMLINKS_ | RESOLVE_NO_MAGICLINKS_};
	struct stat st;

	path = below_root(path);
	if (!path) {
		errno = ENOENT;
		return -1;
	}
	if (root >= 0) {
		how.resolve |= RESOLVE_BENEATH_;
		path++;
	}
	int fd = (int)syscall(SYS_openat2, root < 0 ? AT_FDCWD : root, path, &how, sizeof how);
	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}

int file_folder(const char *path, mode_t mode, bool fresh)
{
	char copy_of[4096], *name;

	path = below_root(path);
	if (!path || snprintf(copy_of, sizeof copy_of, "%s", path) < 2)
		return EINVAL;
	int dir = enter_parent(copy_of, &name);
	if (dir < 0)
		return errno;
	int error = fresh && !faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) &&
				    unlinkat(dir, name, 0) && unlinkat(dir, name, AT_REMOVEDIR)
			    ? remove_dir(dir, name)
			    : 0;
	int fd = error ? -1 : enter(dir, name);
	if (!error && (fd < 0 || fchmod(fd, mode & 01777)))
		error = errno;
	if (fd >= 0)
		close(fd);
	close(dir);
	return error;
}
