/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ask.h -- asking rollouts-docker something, from another program.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* Run `rollouts-docker ARGS...` in the folder DIR_FD and append what it prints to OUT; its errors go to our
 * standard error. Blocks until it ends, two minutes at most. -1 with its own words when it fails: ERR_USAGE
 * for a mistake of the user's, else ERR_INFRA. */
int engine_ask(const char *const *args, int dir_fd, struct buf *out, struct err *err) MUST_CHECK;
/* The error of a rollouts-docker that ended with STATUS, as of waitpid(), and last said SAID. Always -1. */
int engine_ask_failed(int status, const char *said, struct err *err);
