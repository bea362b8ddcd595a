/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * guard.h -- private to agentkit: a process that outlives this one, should this one be killed, and then ends what it had
 * started in a folder and removes the folder.
 */
#pragma once
#include <sys/types.h>
#include "base/err.h"

struct guard {
	pid_t pid; /* -1: none */
	int tell;
};

/* Of TEMP, a folder in FOLDER that will be made. */
int guard_start(struct guard *g, int folder, const char *temp, struct err *err) MUST_CHECK;
/* All is well, or was cleaned up here: it ends and does nothing. */
void guard_stop(struct guard *g);
