/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * orphans.h -- workers whose supervisor was killed. They notice and end by themselves,
 * but that takes a moment.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"

/* End all that work below ROOT_FD in a directory starting with PREFIX: SIGTERM, some patience,
 * SIGKILL. Returns when they are gone. */
int orphans_end(int root_fd, const char *prefix, struct err *err) MUST_CHECK;
/* The attempts' folders of all workers below ROOT_FD, added to OUT. */
int orphans_list(struct strv *out, int root_fd, struct err *err) MUST_CHECK;
