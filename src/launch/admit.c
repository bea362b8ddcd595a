// SPDX-License-Identifier: GPL-3.0-or-later
#include "launch/admit.h"
#include <sched.h>
#include <unistd.h>

/* Sums of decimals such as 0.1 must not refuse the last of what fits. */
#define SLACK 1e-6

void admit_init(struct admit *a)
{
	*a = (struct admit){
		.cpus = 1,
		.memory_mb = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 20),
	};
	if (!sched_getaffinity(0, sizeof a->processors, &a->processors))
		a->cpus = CPU_COUNT(&a->processors);
}

bool admit_fits(const struct admit *a, const struct limits *l, bool alone)
{
	return alone || (a->cpus_used + l->cpus <= a->cpus + SLACK &&
			 a->memory_used_mb + l->memory_mb <= a->memory_mb);
}

/* Where several reserve as little, not always the first: other runs on this machine choose as well. */
static int least_reserved(const struct admit *a, const cpu_set_t *taken)
{
	int best = -1, first = getpid() % CPU_SETSIZE;

	for (int i = 0; i < CPU_SETSIZE; i++) {
		int cpu = (first + i) % CPU_SETSIZE;
		if (CPU_ISSET(cpu, &a->processors) && !CPU_ISSET(cpu, taken) &&
		    (best < 0 || a->load[cpu] < a->load[best] - SLACK))
			best = cpu;
	}
	return best;
}

static void reserve(struct admit *a, const cpu_set_t *set, double cpus)
{
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, set))
			a->load[i] += cpus / CPU_COUNT(set);
}

void admit_take(struct admit *a, const struct limits *l, cpu_set_t *set)
{
	int n = 0;

	a->cpus_used += l->cpus;
	a->memory_used_mb += l->memory_mb;
	*set = a->processors;
	if (l->cpus <= 0 || l->cpus > a->cpus - 1 + SLACK)
		return reserve(a, set, l->cpus);
	CPU_ZERO(set);
	for (; n < l->cpus - SLACK; n++)
		CPU_SET(least_reserved(a, set), set);
	reserve(a, set, l->cpus);
}

void admit_return(struct admit *a, const struct limits *l, const cpu_set_t *set)
{
	a->cpus_used -= l->cpus;
	a->memory_used_mb -= l->memory_mb;
	reserve(a, set, -l->cpus);
}
