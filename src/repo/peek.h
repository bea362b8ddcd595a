/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * peek.h -- what a repository elsewhere lacks, asked without fetching its files.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/strv.h"

/* As source_look_for_hollow, of START (a full id or the name of a ref; NULL: HEAD) in the remote repository URL: its trees are fetched,
 * and the few blobs that say it, into a temporary folder. Nothing where the other side does not give that, or not in time. */
void peek_for_hollow(struct strv *out, const char *url, const char *start, bool submodules,
		     int64_t deadline_ms);
