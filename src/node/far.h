/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * far.h -- `rollouts-node far`: a job on a machine that shares nothing with its home. It runs `rollouts-node run` in a folder of the job's own
 * and speaks frames (frames.h) to `rollouts-node home` over standard input and output: what the trials need is asked for and comes, event
 * lines and archives go, and agents' model calls reach the gateway at home. What runs goes on while nobody is connected: the folder has a
 * keeper, a process in the background, to which any later `far` for the same folder leads again. Nothing is run twice.
 *
 * The folder:
 *   data/      trial.json and the like of the attempts, as they came; out/ archives; events   event lines so far
 *   begun      what runs was started once; line.sock, ask.sock, sockets/; lock   held by the keeper; log
 */
#pragma once
#include <stdint.h>
#include "base/strv.h"

struct far_request {
	const char *dir;   /* of the job; its parent exists */
	const char *cache; /* as node.h has it, and so on */
	int64_t cache_mb, side_by_side;
	const char *around, *alone;
	struct strv dirs; /* of attempts */
};

/* Blocks until the connection ends. Returns the exit status: 0 when all is at home. */
int far_run(const struct far_request *q);
