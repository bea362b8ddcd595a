/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * processors.h -- the processors that this worker, and so all in its sandbox, may run on, as programs read about them. Its launcher
 * chose them (launch/admit.h).
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"

#define PROCESSORS_LIST "processors" /* the two files of processors_write */
#define PROCESSORS_INFO "cpuinfo"

/* Where the kernel has that list: what counts processors without asking where it may run reads one of these. */
extern const char *const processors_shown[3];

/* Not all that this machine has. */
bool processors_are_fewer(void);
/* Append them as the kernel lists them: "0-3,8", and a newline. */
void processors_list(struct buf *out);
/* Write that list, and what /proc/cpuinfo says of these processors alone, below DIR_FD. */
int processors_write(int dir_fd, struct err *err) MUST_CHECK;
/* Have process PID, of our own user, run on ours: what an engine starts does not inherit them. Refusals are ignored. */
void processors_hand_to(int pid);
