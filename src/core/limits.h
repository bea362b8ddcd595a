/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * limits.h -- what a trial may use. 0 means "no limit of that kind" unless said otherwise.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/err.h"

struct limits {
	int64_t timeout_ms; /* the agent's working time; default 30 minutes */
	int64_t wall_ms; /* of the agent with all waiting for a provider; 0: see limits_wall_ms */
	int64_t eval_timeout_ms; /* each test script; default 10 minutes */
	int64_t eval_total_ms;	 /* all test scripts of a trial together */
	double cpus;		 /* reservation for admission, cpu.max where cgroups hold it */
	int64_t memory_mb;	 /* reservation, and the ceiling of the whole sandbox */
	int64_t disk_mb;	 /* what the sandbox may write; default 10240 */
	int64_t disk_files;	 /* and into how many files and folders */
	int64_t diff_mb;	 /* what is kept of its changes; default 256 */
	int64_t tokens;		 /* input and output of all model calls together */
	double usd;		 /* cost of all model calls */
	int64_t calls;		 /* model calls */
	int pids;		 /* default 1024 */
	int files;		 /* open files per process; default 8192 */
};

extern const struct limits limits_default;

/* Never less than the working time, and four hours more where nothing is said; 0: no end. */
int64_t limits_wall_ms(const struct limits *l);

/* How long a trial may take in all, from its worker's first line on, in seconds: what engines are told. */
int64_t limits_job_sec(const struct limits *l);

/* The processors that a sandbox here really gets: no engine gives more than the machine has. 0: no limit. */
double limits_cpus_here(const struct limits *l);

bool limits_equal(const struct limits *a, const struct limits *b);
json_t *limits_to_json(const struct limits *l);		  /* new reference */
void limits_from_json(struct limits *l, const json_t *j); /* missing members keep the defaults */
