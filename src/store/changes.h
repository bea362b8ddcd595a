/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * changes.h -- what people wrote about the versions of a benchmark: the file CHANGES, or CHANGES.md, beside it. Each rollout keeps it as
 * it was when it began, so that a comparison can say what was written in between.
 */
#pragma once
#include "store/store.h"

/* Keep what lies beside the benchmark CONFIG_PATH in DIR_FD, a rollout's folder; nothing where there is none. Of a longer one the
 * first 256 KB. */
int changes_keep(int dir_fd, const char *config_path, struct err *err) MUST_CHECK;
/* Append what R kept; nothing where it kept none, or it cannot be read. */
void changes_read(const struct rollout *r, struct buf *out);
