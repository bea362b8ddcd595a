/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/du.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/clock.h"
#include "sandbox/rights.h"

/* Then what was seen so far has to do: files may be added as fast as we count. */
#define WALK_MS 10000
#define ENTRIES_BYTES 4096
#define FILE_BYTES 4096 /* an empty file is not free either: a disk runs out of inodes as well */

struct entry { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t next;
	unsigned short len;
	unsigned char type;
	char name[];
};

struct level {
	int fd;
	int64_t at; /* where to go on reading */
};

struct walk {
	struct level levels[DU_DEPTH_MAX];
	int depth; /* of the level being read; -1: done */
	dev_t dev;
	struct du sum;
};

static bool is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* Count one entry. True: it is a directory and has become the deepest level. */
static bool visit(struct walk *w, const char *name)
{
	struct stat st;
	const int dir = w->levels[w->depth].fd;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_dev != w->dev)
		return false;
	const int64_t blocks = (int64_t)st.st_blocks * 512;
	const int64_t bytes = blocks < FILE_BYTES ? FILE_BYTES : blocks;
	w->sum.files++;
	w->sum.bytes +=
		S_ISDIR(st.st_mode) || st.st_nlink < 2 ? bytes : bytes / (int64_t)st.st_nlink;
	if (!S_ISDIR(st.st_mode))
		return false;
	if (w->depth + 1 == DU_DEPTH_MAX) {
		w->sum.bytes = DU_TOO_DEEP;
		return false;
	}
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		fd = rights_open_dir(dir, name);
	if (fd < 0)
		return false;
	w->levels[++w->depth] = (struct level){.fd = fd};
	return true;
}

/* Read some entries of the deepest level: down into the first directory, up at the end. The position is
 * kept as the kernel's cookie, so that a level costs a descriptor and no memory. */
static void read_level(struct walk *w)
{
	_Alignas(struct entry) char entries[ENTRIES_BYTES];
	struct level *l = &w->levels[w->depth];
	long n = syscall(SYS_getdents64, l->fd, entries, sizeof entries);

	if (n <= 0) {
		if (w->depth > 0) {
			close(l->fd);
			lseek(w->levels[w->depth - 1].fd, w->levels[w->depth - 1].at, SEEK_SET);
		}
		w->depth--;
		return;
	}
	for (long i = 0; i < n;) {
		const struct entry *e = (const struct entry *)(entries + i);
		i += e->len;
		l->at = e->next;
		if (is_dots(e->name))
			continue;
		if (visit(w, e->name) || w->sum.bytes == DU_TOO_DEEP)
			return;
	}
}

struct du du_measure(int dir_fd, const struct du *limit)
{
	struct walk w = {.depth = 0};
	struct stat st;

	w.levels[0].fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w.levels[0].fd < 0 || fstat(w.levels[0].fd, &st)) {
		if (w.levels[0].fd >= 0)
			close(w.levels[0].fd);
		return w.sum;
	}
	const int root = w.levels[0].fd;
	w.dev = st.st_dev;
	const int64_t deadline = clock_mono_ms() + WALK_MS;
	while (w.depth >= 0) {
		read_level(&w);
		if (w.sum.bytes == DU_TOO_DEEP ||
		    (limit->bytes > 0 && w.sum.bytes > limit->bytes) ||
		    (limit->files > 0 && w.sum.files > limit->files) || clock_mono_ms() > deadline)
			break;
	}
	for (; w.depth > 0; w.depth--)
		close(w.levels[w.depth].fd);
	close(root);
	return w.sum;
}
