/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/clock.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int64_t virtual_ns; /* 0: there is none */

void clock_virtual_set(int64_t ms)
{
	virtual_ns = ms * 1000000;
}

/* No processor is kept away so long by others that merely want it, too; and a deadline that comes later then is right as well. */
#define STOOD_STILL_MS 5000
#define WATCH_MS 1000

static _Atomic int64_t stopped_ms; /* clock_mono_ms is so far behind the kernel's */

/* Of the thread that has deadlines: whether it is watched, and when it last read the clock. */
static _Thread_local bool is_watched;
static _Thread_local int64_t read_ms;

int64_t clock_mono_ns(void)
{
	struct timespec ts;

	if (virtual_ns)
		return virtual_ns;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Who stood still is told so by the very reading by which it would find itself late. */
int64_t clock_mono_ms(void)
{
	int64_t now = clock_mono_ns() / 1000000 - stopped_ms;

	if (!is_watched)
		return now;
	if (now - read_ms >= STOOD_STILL_MS) {
		stopped_ms += now - read_ms;
		now = read_ms;
	}
	return read_ms = now;
}

bool clock_watch(bool on)
{
	const bool was = is_watched;

	is_watched = false;
	read_ms = was ? read_ms : clock_mono_ms();
	is_watched = on;
	return was;
}

int clock_wait_ms(int64_t due_ms)
{
	const int64_t left = due_ms ? due_ms - clock_mono_ms() : INT_MAX;

	if (due_ms && left <= 0)
		return 0;
	if (is_watched)
		return left < WATCH_MS ? (int)left : WATCH_MS;
	return !due_ms ? -1 : left < INT_MAX ? (int)left : INT_MAX;
}

/* The kernel's monotonic clock stands still with a machine that is suspended, this one does not. */
static int64_t suspended_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ((int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec - clock_mono_ns()) / 1000000;
}

static int64_t suspended_before_ms;

__attribute__((constructor)) static void remember_suspended(void)
{
	suspended_before_ms = suspended_ms();
}

int64_t clock_stood_still_ms(void)
{
	return stopped_ms + suspended_ms() - suspended_before_ms;
}

int64_t clock_for_others_ms(int64_t mono_ms)
{
	return mono_ms + stopped_ms;
}

int64_t clock_from_others_ms(int64_t ms)
{
	return ms - stopped_ms;
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
