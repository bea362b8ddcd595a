/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * du.h -- how much a tree under somebody else's control takes on the disk.
 */
#pragma once
#include <stdint.h>
#include "base/err.h"

#define DU_DEPTH_MAX 512
/* Instead of a number: a tree nested so deeply that it can only be meant to hide something. */
#define DU_TOO_DEEP INT64_MAX

/* Bytes of the blocks below DIR_FD, at least one for each file, counting a file with several links
 * in parts. Follows nothing, crosses no mount, needs memory for the depth alone; stops early once
 * above LIMIT (0: none). */
int64_t du_bytes(int dir_fd, int64_t limit);
