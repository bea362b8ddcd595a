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

struct du {
	int64_t bytes; /* of the blocks, at least one for each file; a file with several links counts in parts */
	int64_t files; /* names, of folders, too */
};
/* What is below DIR_FD. Follows nothing, crosses no mount, needs memory for the depth alone; stops early once above one of
 * LIMIT (0: none). */
struct du du_measure(int dir_fd, const struct du *limit);
