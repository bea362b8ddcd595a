// SPDX-License-Identifier: GPL-3.0-or-later
#include "sched/admit.h"
#include <sched.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/clock.h"

enum { DISK_PERCENT = 5, CHECK_MS = 1000 };

#define DISK_BYTES (2LL << 30)

void admit_init(struct admit *a, int data_fd)
{
	cpu_set_t set;
	int cpus = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);

	*a = (struct admit){
		.data_fd = data_fd,
		.cpus = cpus,
		.memory_mb = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 20),
		.disk_ok = true,
		.disk_checked_ms = -CHECK_MS,
	};
}

bool admit_fits(const struct admit *a, const struct limits *l, bool alone)
{
	/* Sums of decimals such as 0.1 must not refuse the last of what fits. */
	const double slack = 1e-6;

	return alone || (a->cpus_used + l->cpus <= a->cpus + slack &&
			 a->memory_used_mb + l->memory_mb <= a->memory_mb);
}

void admit_take(struct admit *a, const struct limits *l)
{
	a->cpus_used += l->cpus;
	a->memory_used_mb += l->memory_mb;
}

void admit_return(struct admit *a, const struct limits *l)
{
	a->cpus_used -= l->cpus;
	a->memory_used_mb -= l->memory_mb;
}

bool admit_disk_ok(struct admit *a)
{
	struct statvfs v;
	int64_t now = clock_mono_ms();

	if (now - a->disk_checked_ms < CHECK_MS)
		return a->disk_ok;
	a->disk_checked_ms = now;
	if (fstatvfs(a->data_fd, &v))
		return a->disk_ok;
	a->disk_free_bytes = (int64_t)v.f_bavail * (int64_t)v.f_frsize;
	a->disk_ok =
		a->disk_free_bytes >= DISK_BYTES && v.f_bavail >= v.f_blocks / 100 * DISK_PERCENT;
	return a->disk_ok;
}
