/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pressure.h -- how busy the whole machine is: whether what takes long here would take long elsewhere.
 */
#pragma once
#include <stdint.h>

/* Microseconds since the machine started in which something that could run waited for a processor; -1: the kernel does
 * not say. */
int64_t pressure_cpu_us(void);
/* The share of time, 0 to 1, in which something waited for a processor, since pressure_cpu_us() was BEFORE_US and the
 * monotonic clock was SINCE_MS. Where the kernel does not count it, the share of what wants to run now that has no
 * processor, by the load average. -1: not known. */
double pressure_cpu_since(int64_t before_us, int64_t since_ms);
