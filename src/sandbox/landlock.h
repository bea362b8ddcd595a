/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * landlock.h -- Landlock by its system calls: rules that a process gives itself and its children, without any privilege.
 * What it can forbid grows with the kernel's ABI version; what it cannot at any is in docs/sandbox.md.
 */
#pragma once
#include <stdint.h>
#include "base/err.h"

/* From which ABI on it forbids: */
#define LANDLOCK_TRUNCATES 3 /* truncate(2) (Linux 6.2) */
#define LANDLOCK_TCP 4	     /* binding and connecting (6.7) */
#define LANDLOCK_SIGNALS 6   /* signals and abstract sockets to the outside (6.12) */

enum landlock_use {
	LANDLOCK_READ,	   /* files and folders */
	LANDLOCK_PROGRAMS, /* and execute */
	LANDLOCK_DEVICE,   /* read and write one */
	LANDLOCK_OWN,	   /* everything but making devices */
};

/* Found by trying. 0: this kernel has none, or it is switched off (err->sys: ENOSYS, EOPNOTSUPP) or forbidden. */
int landlock_abi(struct err *err) MUST_CHECK;
/* One that forbids all that the ABI can. The caller owns the descriptor; processes it is sent to may use it. */
int landlock_ruleset(int abi, struct err *err) MUST_CHECK;
/* What FD (an O_PATH descriptor) is, and everything below it. */
int landlock_allow(int ruleset, int abi, int fd, enum landlock_use use, struct err *err) MUST_CHECK;
/* TCP connections to this port, of whatever host. */
int landlock_allow_port(int ruleset, uint16_t port, struct err *err) MUST_CHECK;
