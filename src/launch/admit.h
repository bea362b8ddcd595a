/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * admit.h -- whether one more trial fits on this machine, by the cpus and the memory it reserves, and on which processors it runs.
 */
#pragma once
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include "core/limits.h"

struct admit {
	double cpus, cpus_used;
	int64_t memory_mb, memory_used_mb;
	cpu_set_t processors;	  /* those that we may run on */
	double load[CPU_SETSIZE]; /* what is reserved of each */
};

/* Nothing is reserved yet. */
void admit_init(struct admit *a);
/* A reservation larger than the machine fits when it is ALONE there. */
bool admit_fits(const struct admit *a, const struct limits *l, bool alone);
/* SET becomes the processors of its trial: as many as it reserves, rounded up, of those with the least reserved; all of them where
 * it reserves none. */
void admit_take(struct admit *a, const struct limits *l, cpu_set_t *set);
void admit_return(struct admit *a, const struct limits *l, const cpu_set_t *set);
