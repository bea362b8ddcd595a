/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * versions.h -- programs that a task's tests start, and that somebody's PATH has in another version than local sandboxes
 * have: what works in their shell then fails for every agent.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"
#include "task/task.h"

/* Put into TOOLS (tools.h; NULL: nothing to do) `versions` {name: the first line that the program says of its version, or null}: of a
 * folder, what the best known program in it says. Runs each once, 5 s at most. */
void versions_ask(json_t *tools);
/* The programs that tests of TASKS start, by name, without looking further. */
void versions_used(struct strv *out, const struct task *t);
/* A line in NOTES for each of NAMES that PATH has in another version than sandboxes, or that they do not have at all. What
 * TOOLS (tools.h; may be NULL) show is left out. Runs both programs, to ask them, where they are not the same file: 5 s each at
 * most. */
void versions_note(struct strv *notes, const struct strv *names, const json_t *tools);
