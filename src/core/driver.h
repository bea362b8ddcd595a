/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * driver.h -- what launchers' programs in C have in common: their lines to the supervisor (docs/launchers.md),
 * each sent at once on standard output, and trials made into the lists of jobs.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>

void driver_say(json_t *message_take);
/* For people: {"event": "note"}. */
void driver_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The trial of TOKEN was not submitted, and WHY. */
void driver_say_failed(const char *token, const char *why);
/* The folders of JOBS, members of a "submit", in lists of at most PER_JOB; the caller owns the array. */
json_t *driver_lists_of(const json_t *jobs, int64_t per_job);
