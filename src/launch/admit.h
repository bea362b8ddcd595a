/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * admit.h -- whether one more trial fits on this host: reserved cpus and memory, free disk.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "core/limits.h"

struct admit {
	int data_fd;
	double cpus, cpus_used;
	int64_t memory_mb, memory_used_mb;
	bool disk_ok;
	int64_t disk_checked_ms;
	int64_t disk_free_bytes;
};

void admit_init(struct admit *a, int data_fd);
/* A reservation larger than the host fits when nothing else runs. */
bool admit_fits(const struct admit *a, const struct limits *l, bool alone);
void admit_take(struct admit *a, const struct limits *l);
void admit_return(struct admit *a, const struct limits *l);
/* At least 5 % and 2 GB of the data disk are free; asks the disk at most once a second. */
bool admit_disk_ok(struct admit *a);
