/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * recover.h -- what a killed supervisor or worker left on disk.
 */
#pragma once
#include <stdbool.h>
#include "rollout/session.h"

/* For every trial without a result: journal what its attempts achieved that the journal does not
 * know of, and remove their scratch directories. No worker may run. */
void recover_left(struct session *s);
/* Remove the scratch directories of an attempt. False: something of it still runs. */
bool recover_sweep(int root_fd, const char *attempt_dir);
