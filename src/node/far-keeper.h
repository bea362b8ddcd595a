/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * far-keeper.h -- private to far.h: the process in the background of a job's folder.
 */
#pragma once
#include "node/far.h"

#define FAR_LINE "line.sock"
#define FAR_LOCK "lock"
#define FAR_ASK "ask.sock"

/* Blocks until everything is at home, or nobody came for a day. Returns the exit status. */
int far_keep(const struct far_request *q, int dir_fd);
