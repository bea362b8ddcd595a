/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * source-files.h -- a repository of a task on this machine, before git opens any of its files.
 */
#pragma once
#include "base/err.h"

/* The names below PATH's git directory are looked at, and nothing is opened that could make us wait: ERR_USAGE where one is no file,
 * folder or link (git would wait for a FIFO for ever). Of a repository in the folder TASK_DIR, which came from somebody
 * else, also where a link, a `.git` file or an alternate leads out of that folder: what lies there is the user's. Both are real paths. */
int source_files_check(const char *path, const char *task_dir, struct err *err) MUST_CHECK;
