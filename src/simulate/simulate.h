/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * simulate.h -- a benchmark run by the real scheduler in a world in which only time passes: how long it would take, what it would
 * cost, how well its slots are used. Reads and writes nothing.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "simulate/history.h"
#include "store/planfile.h"

enum simulate_order {
	ORDER_PLANNED, /* as a run has it: models and tasks interleaved */
	ORDER_LONGEST, /* what is expected to take longest begins first */
};

/* Everything is borrowed. */
struct simulate_request {
	const struct planfile *plan; /* retries and fail_on_error of its trials hold */
	size_t trials;		     /* as many; those of the plan again and again */
	int parallel;
	int retries; /* -1: as each trial says */
	enum simulate_order order;
	const struct durations *durations;
	double failures; /* share of attempts that fail by the infrastructure, after a part of their time */
	int64_t start_ms; /* from submitting an attempt until its agent works */
	double usd;	  /* of a finished attempt; 0: none */
	double calls;	  /* model calls of an attempt */
	uint64_t seed;	  /* the same seed: the same trials, whatever else differs */
};

struct simulation {
	int64_t makespan_ms;
	int64_t tail_ms; /* at the end, while slots were free and nothing was left to begin */
	double busy;	 /* share of the slots' time in which they worked */
	double wasted;	 /* share of that time that went into failed attempts */
	size_t attempts, failed; /* attempts; of them failed */
	size_t missing;		 /* trials without a result */
	double usd;
	double calls_per_min, peak_calls_per_min; /* by and large; of the busiest minute */
	char why[512]; /* the scheduler ended early, and why; "": it did not */
};

/* Takes about two microseconds and 400 bytes for each trial. Uses the clock of the process: nothing else may run meanwhile. */
int simulate(struct simulation *out, const struct simulate_request *q, struct err *err) MUST_CHECK;
