/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#define REMOVE_DEPTH 64

/* linux/openat2.h, which musl does not bring. */
struct open_how_ {
	uint64_t flags, mode, resolve;
};
#define RESOLVE_NO_MAGICLINKS_ 0x02
#define RESOLVE_NO_SYMLINKS_ 0x04

static int remove_any(int dir, const char *name, int depth);

static int empty_directory(int fd, int depth)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int error = 0;

	if (!d) {
		error = errno;
		close(fd);
		return error;
	}
	while (!error && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			error = remove_any(dirfd(d), e->d_name, depth + 1);
	closedir(d);
	return error;
}

/* rm -rf, following nothing. */
static int remove_any(int dir, const char *name, int depth)
{
	if (!unlinkat(dir, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno;
	if (depth > REMOVE_DEPTH)
		return ELOOP;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno;
	int error = empty_directory(fd, depth);
	if (error)
		return error;
	return unlinkat(dir, name, AT_REMOVEDIR) ? errno : 0;
}

/* Open NAME below DIR as a directory, making it one if it is anything else. */
static int enter(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags);

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
	return openat(dir, name, flags);
}

/* The directory of PATH, made as needed; *NAME points at the last component. */
static int enter_parent(char *path, char **name)
{
	int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

	if (content < 0 || path[0] != '/' || snprintf(copy_of, sizeof copy_of, "%s", path) < 2)
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
			error = remove_any(dir, name, 0);
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
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0)
		return -1;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		return fd;
	close(fd);
	errno = EINVAL;
	return -1;
}
