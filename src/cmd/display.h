/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * display.h -- what a running benchmark shows on standard output. Never waits for a reader that is
 * slow.
 *
 * DEFAULT: a spinner (on a terminal only) and a line with an icon per task. PROGRESS (-v): the same
 * lines without icons. FULL (-vv): also what agents and tests print, prefixed by the run. JSON:
 * events alone.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sched/listener.h"

enum display_mode { DISPLAY_DEFAULT, DISPLAY_PROGRESS, DISPLAY_FULL, DISPLAY_JSON };

struct display;

/* FD is borrowed. */
struct display *display_new(int fd, enum display_mode mode);
/* Shows what it is told; valid as long as D. */
struct listener display_listener(struct display *d);
/* "[rollouts] ...": nothing in JSON mode. */
void display_say(struct display *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The spec's line about quiet mode, where it holds. */
void display_say_quiet(struct display *d);
/* A line of RUN_ID: agent and test output, phases, notes. Shown in FULL only; untrusted. */
void display_run_line(struct display *d, const char *run_id, const char *text, size_t len);
/* The last line: everything has a result, or not. */
void display_end(struct display *d, size_t total, size_t missing);
/* Write what a reader takes without waiting. */
void display_flush(struct display *d);
/* Write the rest, take the transient line away, free. */
void display_free(struct display *d);
