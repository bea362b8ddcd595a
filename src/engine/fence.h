/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fence.h -- what a container with a network must not reach through it: the addresses at which clouds hand out the
 * credentials of the machine to whoever asks.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"

/* Whether we may put one up: only root may change a container's network namespace. */
bool fence_possible(void);
/* Refuse link-local addresses and the like, but for name servers there, to everything in the network namespace of the
 * process PID, which must be of the container ID. What runs there without CAP_NET_ADMIN cannot undo it. */
int fence_raise(int pid, const char *id, struct err *err) MUST_CHECK;
