/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plain-filter.h -- what commands of a sandbox without namespaces may not ask of the kernel, as rollouts-init takes it.
 */
#pragma once
#include <sys/types.h>
#include "base/err.h"

/* The filter in FILTER_FD (the build makes it: seccomp-gen), and one that keeps signals from PIDS and their process groups,
 * from everybody at once, and, where Landlock does not (TRUNCATES false), files from truncate(2). Returns a memory file that
 * the caller owns. */
int plain_filter(int filter_fd, const pid_t *pids, size_t pids_n, bool truncates,
		 struct err *err) MUST_CHECK;
