/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/path.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"

char *path_join(const char *a, const char *b)
{
	size_t n = strlen(a);

	while (n > 1 && a[n - 1] == '/')
		n--;
	while (*b == '/')
		b++;
	if (!n)
		return xstrdup(b);
	return xasprintf("%.*s%s%s", (int)n, a, n == 1 && *a == '/' ? "" : "/", b);
}

bool path_is_inside(const char *path)
{
	if (!*path || *path == '/')
		return false;
	for (;;) {
		size_t n = strcspn(path, "/");
		if (!n || (n == 1 && path[0] == '.') ||
		    (n == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += n;
		if (!*path || !path[1])
			return true;
		path++;
	}
}

const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

char *path_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? xstrndup(path, (size_t)(slash - path)) : xstrdup(".");
}

int path_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, struct err *err)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do /* EAGAIN: a rename raced with the walk */
		fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	return (int)fd;
}

int path_make_dirs(int dir_fd, const char *path, mode_t mode, struct err *err)
{
	if (!mkdirat(dir_fd, path, mode) || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	const char *slash = strrchr(path, '/');
	if (!slash || slash == path)
		return err_set(err, ERR_INFRA, ENOENT, "make directory %s", path);
	AUTO(free) char *parent = xstrndup(path, (size_t)(slash - path));
	if (path_make_dirs(dir_fd, parent, mode, err))
		return -1;
	if (mkdirat(dir_fd, path, mode) && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	return 0;
}

int path_read_fd(int fd, size_t max, struct buf *out, struct err *err)
{
	size_t start = out->len;

	for (;;) {
		size_t left = max - (out->len - start);
		size_t want = left < 65535 ? left + 1 : 65536;
		buf_grow(out, want);
		ssize_t n = read(fd, out->data + out->len, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "read");
		if (!n)
			break;
		out->len += (size_t)n;
		if (out->len - start > max)
			return err_set(err, ERR_LIMIT, 0, "larger than %zu bytes", max);
	}
	out->data[out->len] = '\0';
	return 0;
}

static int read_regular(int fd, const char *path, size_t max, struct buf *out, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return err_set(err, ERR_INFRA, errno, "stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_INFRA, 0, "%s is not a regular file", path);
	if (st.st_size > 0 && (size_t)st.st_size <= max)
		buf_grow(out, (size_t)st.st_size + 1);
	if (path_read_fd(fd, max, out, err))
		return err_wrap(err, "%s", path);
	return 0;
}

int path_read(int dir_fd, const char *path, size_t max, struct buf *out, struct err *err)
{
	/* O_NONBLOCK: opening a FIFO must not hang. */
	AUTO(fd) int fd =
		openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	return read_regular(fd, path, max, out, err);
}

int path_read_beneath(int dir_fd, const char *path, size_t max, struct buf *out, struct err *err)
{
	AUTO(fd) int fd = path_open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);

	if (fd < 0)
		return -1;
	return read_regular(fd, path, max, out, err);
}

int path_write_all(int fd, const void *data, size_t n, struct err *err)
{
	const char *p = data;

	while (n) {
		ssize_t w = write(fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_set(err, ERR_INFRA, errno, "write");
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

/* A name beside PATH that no other thread or process uses. */
static char *temporary_name(const char *path)
{
	static atomic_uint counter;

	return xasprintf("%s.tmp.%d.%u", path, (int)getpid(), atomic_fetch_add(&counter, 1));
}

static int sync_parent(int dir_fd, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	AUTO(free) char *parent = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	AUTO(fd) int fd = openat(dir_fd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd))
		return err_set(err, ERR_INFRA, errno, "sync %s", parent);
	return 0;
}

int path_sync_all(int fd, struct err *err)
{
	return syncfs(fd) ? err_set(err, ERR_INFRA, errno, "sync the file system") : 0;
}

static int write_new(int dir_fd, const char *path, const void *data, size_t n, mode_t mode,
		     bool sync, struct err *err)
{
	AUTO(fd) int fd =
		openat(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "create %s", path);
	if (path_write_all(fd, data, n, err))
		return err_wrap(err, "%s", path);
	if (sync && fsync(fd))
		return err_set(err, ERR_INFRA, errno, "sync %s", path);
	return 0;
}

int path_write(int dir_fd, const char *path, const void *data, size_t n, mode_t mode, bool sync,
	       struct err *err)
{
	AUTO(free) char *temporary = temporary_name(path);

	if (write_new(dir_fd, temporary, data, n, mode, sync, err)) {
		unlinkat(dir_fd, temporary, 0);
		return -1;
	}
	if (renameat(dir_fd, temporary, dir_fd, path)) {
		err_set(err, ERR_INFRA, errno, "rename to %s", path);
		unlinkat(dir_fd, temporary, 0);
		return -1;
	}
	return sync ? sync_parent(dir_fd, path, err) : 0;
}

int path_link(int dir_fd, const char *target, const char *path, struct err *err)
{
	/* The common case first: nothing is there yet. */
	if (!symlinkat(target, dir_fd, path))
		return 0;
	if (errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "link %s", path);
	AUTO(free) char *temporary = temporary_name(path);
	if (symlinkat(target, dir_fd, temporary))
		return err_set(err, ERR_INFRA, errno, "link %s", temporary);
	if (renameat(dir_fd, temporary, dir_fd, path)) {
		err_set(err, ERR_INFRA, errno, "rename to %s", path);
		unlinkat(dir_fd, temporary, 0);
		return -1;
	}
	return 0;
}

char *path_of_fd(int fd)
{
	char link[32], path[4096];

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	return xstrndup(path, n > 0 ? (size_t)n : 0);
}

void path_touch(int dir_fd, const char *path)
{
	(void)utimensat(dir_fd, path, NULL, AT_SYMLINK_NOFOLLOW);
}

bool path_is_within(const char *path, const char *folder)
{
	const size_t n = strlen(folder);

	return !strncmp(path, folder, n) && (!path[n] || path[n] == '/');
}

bool path_exists(int dir_fd, const char *path)
{
	struct stat st;

	return !fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW);
}

bool path_is_dir(int dir_fd, const char *path)
{
	struct stat st;

	return !fstatat(dir_fd, path, &st, 0) && S_ISDIR(st.st_mode);
}
