/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * clock.h -- time. mono_* for durations and deadlines, wall_* for people.
 *
 * A machine may stand still, suspended or with all of its processes stopped. What it missed is nobody's working time: the
 * kernel's clock leaves out the one, and clock_mono_ms the other, in a thread that is watched (clock_watch). So deadlines
 * move by themselves, each in the process that has it.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

int64_t clock_mono_ms(void);
/* From now on the clock of this process stands at MS until it is set again, 0: it is the machine's. For simulations. */
void clock_virtual_set(int64_t ms);
int64_t clock_mono_ns(void); /* all of it: to measure a moment */
/* ON: from now on this thread reads the clock each second or oftener, so a longer time between two readings is one in which it stood
 * still; the later of them does not count it any more. Returns what was on before, to be set again. */
bool clock_watch(bool on);
/* poll()'s timeout for a wait until DUE_MS (clock_mono_ms; 0: without end, -1 is returned). While this thread is watched it is
 * a second at most: whoever waits looks whether DUE_MS has come, and else waits again. */
int clock_wait_ms(int64_t due_ms);
/* How long this process has stood still since it began, as far as it was noticed: stopped, or the machine suspended. */
int64_t clock_stood_still_ms(void);
/* A time of clock_mono_ms as another process of this machine tells it, and back. */
int64_t clock_for_others_ms(int64_t mono_ms);
int64_t clock_from_others_ms(int64_t ms);
int64_t clock_wall_ms(void); /* since the epoch */

/* How long a worker may take to end in order before it is ended: USUAL_MS, or what ROLLOUTS_TEST_GRACE_MS
 * says. For tests, whose workers never do; for nobody else. */
int64_t clock_grace_ms(int64_t usual_ms);

#define CLOCK_STAMP 24 /* bytes of either text form with its NUL */
void clock_stamp(int64_t wall_ms,
		 char out[CLOCK_STAMP]); /* UTC, 20250824__12-34-56: folder names */
void clock_iso(int64_t wall_ms, char out[CLOCK_STAMP + 8]); /* UTC, 2025-08-24T12:34:56.789Z */
/* "850ms", "12.3s", "4m05s", "2h03m": for people. */
void clock_human(int64_t ms, char out[16]);
