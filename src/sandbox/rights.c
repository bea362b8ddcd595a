/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/rights.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"

#define LEVELS 200
#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* By the descriptor, since the name may be a link by now. */
static int change_mode(int path_fd, mode_t mode)
{
	char link[32];

	snprintf(link, sizeof link, "/proc/self/fd/%d", path_fd);
	return chmod(link, mode & 07777);
}

int rights_open_dir(int dir, const char *name)
{
	AUTO(fd) int path = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (path < 0 || fstat(path, &st) || change_mode(path, st.st_mode | 0700))
		return -1;
	int fd = openat(path, ".", OPEN_DIR);
	(void)!change_mode(path, st.st_mode);
	return fd;
}

static void take_below(int dir_take, int level);

static void take_entry(int dir, const char *name, int level)
{
	AUTO(fd) int path = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (path < 0 || fstat(path, &st) || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
		return;
	const mode_t needed = S_ISDIR(st.st_mode) ? 0700 : 0600;
	if ((st.st_mode & needed) != needed)
		(void)!change_mode(path, st.st_mode | needed);
	if (S_ISDIR(st.st_mode) && level < LEVELS)
		take_below(openat(path, ".", OPEN_DIR), level + 1);
}

static void take_below(int dir_take, int level)
{
	DIR *d = dir_take < 0 ? NULL : fdopendir(dir_take);
	struct dirent *e;

	if (!d && dir_take >= 0)
		close(dir_take);
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			take_entry(dirfd(d), e->d_name, level);
	if (d)
		closedir(d);
}

int rights_take(int root_fd, const char *path, struct err *err)
{
	AUTO(fd) int top = openat(root_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (top < 0 || fstat(top, &st)) {
		err_set(err, ERR_INFRA, errno, "open %s", path);
		return err_from_box(err);
	}
	if ((st.st_mode & 0700) != 0700)
		(void)!change_mode(top, st.st_mode | 0700);
	take_below(openat(top, ".", OPEN_DIR), 0);
	return 0;
}

struct rights_way {
	int fds[LEVELS];
	size_t n;
};

struct rights_way *rights_way_open(int root_fd, const char *path, struct err *err)
{
	struct rights_way *w = xcalloc(1, sizeof *w);
	int at = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (const char *slash = path; at >= 0; path = slash + 1) {
		w->fds[w->n++] = at;
		slash = strchr(path, '/');
		if (!slash || w->n == LEVELS)
			return w;
		AUTO(free) char *name = xstrndup(path, (size_t)(slash - path));
		at = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	}
	err_set(err, ERR_INFRA, errno, "open the way to %s", path);
	rights_way_free(w);
	return NULL;
}

static void take_dir(int path_fd)
{
	struct stat st;

	if (!fstat(path_fd, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	    (st.st_mode & 0700) != 0700)
		(void)!change_mode(path_fd, st.st_mode | 0700);
}

void rights_way_take(const struct rights_way *w)
{
	struct dirent *e;

	for (size_t i = 0; i < w->n; i++)
		take_dir(w->fds[i]);
	int last = openat(w->fds[w->n - 1], ".", OPEN_DIR);
	DIR *d = last < 0 ? NULL : fdopendir(last);
	while (d && (e = readdir(d))) {
		AUTO(fd)
		int fd = openat(dirfd(d), e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0 && strcmp(e->d_name, ".."))
			take_dir(fd);
	}
	if (d)
		closedir(d);
}

void rights_way_free(struct rights_way *w)
{
	for (size_t i = 0; w && i < w->n; i++)
		close(w->fds[i]);
	free(w);
}
