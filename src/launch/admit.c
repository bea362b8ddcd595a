// SPDX-License-Identifier: GPL-3.0-or-later
#include "launch/admit.h"
#include <sched.h>
#include <unistd.h>

void admit_init(struct admit *a)
{
	cpu_set_t set;
	int cpus = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);

	*a = (struct admit){
		.cpus = cpus,
		.memory_mb = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 20),
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
