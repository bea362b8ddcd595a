/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pressure.h -- how busy the whole machine is: whether what takes long here would take long elsewhere.
 */
#pragma once
#include <stdint.h>

/* The machine's counts at one moment. */
struct pressure {
	int64_t stalled_us; /* in which something that could run waited for a processor; -1: the kernel does not say */
	int64_t stolen,
		ticks; /* of all processors, stolen: by other machines on this host; -1: the same */
	int64_t at_ms; /* clock_mono_ms */
};

struct pressure pressure_now(void);
/* The share of time, 0 to 1, since BEFORE in which something waited for a processor. Where the kernel does not count it,
 * the share of what wants to run now that has no processor, by the load average. -1: not known. */
double pressure_cpu_since(const struct pressure *before);
/* The share of the processors' time since BEFORE that the host gave to others; -1: not known. */
double pressure_steal_since(const struct pressure *before);
