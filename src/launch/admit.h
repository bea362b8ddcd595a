/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * admit.h -- whether one more trial fits on this machine, by the cpus and the memory it reserves.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "core/limits.h"

struct admit {
	double cpus, cpus_used;
	int64_t memory_mb, memory_used_mb;
};

/* Nothing is reserved yet. */
void admit_init(struct admit *a);
/* A reservation larger than the machine fits when it is ALONE there. */
bool admit_fits(const struct admit *a, const struct limits *l, bool alone);
void admit_take(struct admit *a, const struct limits *l);
void admit_return(struct admit *a, const struct limits *l);
