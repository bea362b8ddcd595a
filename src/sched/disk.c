// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/disk.h"
#include <sys/statvfs.h>
#include "base/clock.h"

enum { FREE_PERCENT = 5, ASK_MS = 1000 };

#define FREE_BYTES (2LL << 30)

void disk_init(struct disk *d, int fd)
{
	*d = (struct disk){.fd = fd, .has_room = true, .asked_ms = -ASK_MS};
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
	d->has_room = d->free_bytes >= FREE_BYTES && v.f_bavail >= v.f_blocks / 100 * FREE_PERCENT;
	return d->has_room;
}
