/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * phase-shell.h -- private to trial: somebody looks into a sandbox of an attempt, as attempt.shell says. Nothing is graded and
 * no result is written.
 */
#pragma once
#include "trial/work.h"

/* What the command reads and writes, in the worker: passed by whoever started it. */
enum { SHELL_FD = 3, SHELL_FDS = 3 };

/* Open it, run the command, tell EVENT_SHELL. Blocks until the command ends. */
int work_shell(struct work *w, struct err *err) MUST_CHECK;
