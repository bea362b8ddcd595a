/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * driver.h -- what launchers' programs in C have in common: their lines to the supervisor (docs/launchers.md),
 * each sent at once on standard output, and trials made into the lists of jobs.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

void driver_say(json_t *message_take);
/* For people: {"event": "note"}. */
void driver_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A setting is wrong, or (FAULT) the engine does not answer. */
void driver_refuse(const char *text, bool fault);
/* FILES "shared" or "copied"; BATCH: jobs in one message at most; POLL_MS: how often it wants to be asked. */
void driver_say_hello(const char *files, int64_t batch, int64_t poll_ms);
void driver_say_polled(void);
/* The trial of TOKEN is with the engine, which knows it as JOB. */
void driver_say_submitted(const char *token, const char *job);
/* It was not submitted, and WHY. */
void driver_say_failed(const char *token, const char *why);
/* Neither the engine nor this program was ever given it. */
void driver_say_unknown(const char *token, const char *why);
/* Its "ended", to which the caller adds where its archive is, and says it. STOPPED: its node was told to stop before it had finished,
 * COMMITTED: with its agent's work done. */
json_t *driver_ended(const char *token, const char *how, bool stopped, bool committed);
/* The folders of JOBS, members of a "submit", in lists of at most PER_JOB; the caller owns the array. */
json_t *driver_lists_of(const json_t *jobs, int64_t per_job);
