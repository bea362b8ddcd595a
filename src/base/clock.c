/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t virtual_ns; /* 0: there is none */

void clock_virtual_set(int64_t ms)
{
	virtual_ns = ms * 1000000;
}

int64_t clock_mono_ns(void)
{
	struct timespec ts;

	if (virtual_ns)
		return virtual_ns;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_mono_ms(void)
{
	return clock_mono_ns() / 1000000;
}

int64_t clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_grace_ms(int64_t usual_ms)
{
	const char *given = getenv("ROLLOUTS_TEST_GRACE_MS");

	return given ? strtoll(given, NULL, 10) : usual_ms;
}

static struct tm utc(int64_t wall_ms)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;

	gmtime_r(&t, &tm);
	return tm;
}

void clock_stamp(int64_t wall_ms, char out[CLOCK_STAMP])
{
	struct tm tm = utc(wall_ms);

	strftime(out, CLOCK_STAMP, "%Y%m%d__%H-%M-%S", &tm);
}

void clock_iso(int64_t wall_ms, char out[CLOCK_STAMP + 8])
{
	struct tm tm = utc(wall_ms);
	size_t n = strftime(out, CLOCK_STAMP + 8, "%Y-%m-%dT%H:%M:%S", &tm);

	snprintf(out + n, CLOCK_STAMP + 8 - n, ".%03dZ", (int)(wall_ms % 1000));
}

void clock_human(int64_t ms, char out[16])
{
	int64_t s = (ms + 500) / 1000;

	if (ms < 1000)
		snprintf(out, 16, "%dms", (int)ms);
	else if (ms < 60000)
		snprintf(out, 16, "%.1fs", (double)ms / 1000);
	else if (s < 3600)
		snprintf(out, 16, "%dm%02ds", (int)(s / 60), (int)(s % 60));
	else
		snprintf(out, 16, "%lldh%02dm", (long long)(s / 3600) % 1000000,
			 (int)(s / 60 % 60));
}
