// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/disk.h"
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "base/clock.h"
#include "base/path.h"

enum { FREE_PERCENT = 5, ASK_MS = 1000 };

#define TRIED ".rollouts-room"
#define FREE_BYTES (2LL << 30)

void disk_init(struct disk *d, int fd)
{
	*d = (struct disk){.fd = fd, .has_room = true, .asked_ms = -ASK_MS};
}

/* As much as a small attempt writes: a file in a folder of its own, on the disk. */
static bool try_writing(int dir_fd)
{
	static const char block[64 << 10];
	struct err ignored;

	if (mkdirat(dir_fd, TRIED, 0700) && errno != EEXIST)
		return false;
	const bool ok =
		!path_write(dir_fd, TRIED "/file", block, sizeof block, 0600, true, &ignored);
	return !path_remove_tree(dir_fd, TRIED, &ignored) && ok;
}

bool disk_refused(struct disk *d)
{
	d->refused = !try_writing(d->fd);
	d->has_room = d->has_room && !d->refused;
	return d->refused;
}

bool disk_has_room(struct disk *d)
{
	struct statvfs v;
	int64_t now = clock_mono_ms();

	if (now - d->asked_ms < ASK_MS)
		return d->has_room;
	d->asked_ms = now;
	if (fstatvfs(d->fd, &v))
		return d->has_room;
	d->free_bytes = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
	if (d->refused)
		d->refused = !try_writing(d->fd);
	d->has_room = !d->refused && d->free_bytes >= FREE_BYTES &&
		      v.f_bavail >= v.f_blocks / 100 * FREE_PERCENT;
	return d->has_room;
}
