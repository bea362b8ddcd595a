/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * probe.h -- trying something out that cannot be taken back: entering a namespace, giving up rights.
 */
#pragma once
#include "base/err.h"

typedef int probe_fn(void *arg, struct err *err);

/* Run PROBE in a child process of its own, killed after SECONDS. 0 when it returned 0; else -1 with what it said,
 * ERR_LIMIT when it came to no end. Blocks. */
int probe_run(probe_fn *probe, void *arg, unsigned seconds, struct err *err) MUST_CHECK;
