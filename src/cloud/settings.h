/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * settings.h -- [launcher.batch] of a benchmark.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

struct settings {
	char *queue, *storage, *definition, *region, *image, *job_role, *execution_role, *sse,
		*kms_key, *cache, *share, *log_group; /* NULL: not set */
	int64_t vcpus, memory_mb, gpus, time_sec, attempts, trials_per_job, side_by_side, cache_mb,
		poll_sec, events_sec, array_max, priority, expire_days;
	bool privileged;
	double price_per_hour;	/* of an instance, in USD; 0: not known */
	json_t *prices;		/* instance type -> USD an hour */
	json_t *secrets;	/* NAME of a key -> where it lies, an ARN or a parameter's name */
	json_t *tags, *command; /* command: what comes before the node's own arguments */
};

/* -1: TEXT says which one is wrong, and what to write. */
int settings_read(struct settings *s, const json_t *j, struct buf *text) MUST_CHECK;
void settings_release(struct settings *s);
