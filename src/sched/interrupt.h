/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * interrupt.h -- signals as bytes in a pipe, so that the poll loop sees them. Each SIGINT or SIGTERM goes one level
 * further. A terminal that hangs up (SIGHUP) ends nothing: what runs was paid for. A signal that was ignored when we
 * started stays ignored.
 */
#pragma once
#include "base/err.h"

enum interrupt_level {
	INTERRUPT_NONE,
	INTERRUPT_DRAIN, /* start no more */
	INTERRUPT_STOP,	 /* end what runs */
	INTERRUPT_KILL,	 /* at once */
};

/* Returns the fd to poll. Between open and close no second one may be opened. */
int interrupt_open(struct err *err) MUST_CHECK;
/* Read what came and raise LEVEL accordingly. */
enum interrupt_level interrupt_read(int fd, enum interrupt_level level);
/* Give the signals back as they were. */
void interrupt_close(int fd);
