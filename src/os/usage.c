/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/usage.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"

#define BLOCK 512
#define MAX_DEPTH 256 /* of descriptors held open; what lies deeper is left out */

static int64_t tree_bytes(int fd_take, dev_t device, int depth);

static int64_t entry_bytes(int dir_fd, const char *name, dev_t device, int depth)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != device)
		return 0;
	int64_t bytes = (int64_t)st.st_blocks * BLOCK;
	if (!S_ISDIR(st.st_mode) || depth >= MAX_DEPTH)
		return bytes;
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? bytes : bytes + tree_bytes(fd, device, depth + 1);
}

static int64_t tree_bytes(int fd_take, dev_t device, int depth)
{
	int64_t bytes = 0;
	DIR *d = fdopendir(fd_take);

	if (!d) {
		close(fd_take);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			bytes += entry_bytes(dirfd(d), e->d_name, device, depth);
	closedir(d);
	return bytes;
}

int64_t usage_bytes(int dir_fd, const char *path)
{
	struct stat st;

	if (fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	return entry_bytes(dir_fd, path, st.st_dev, 0);
}

void usage_human(int64_t bytes, char out[16])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	double n = (double)bytes;
	size_t unit = 0;

	while (n >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
		n /= 1000;
		unit++;
	}
	snprintf(out, 16, unit && n < 9.95 ? "%.1f %s" : "%.0f %s", n, units[unit]);
}
