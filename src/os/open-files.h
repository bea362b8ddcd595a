/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * open-files.h -- how many files a process may have open, and how many trials at once that is enough for.
 */
#pragma once
#include "base/err.h"

/* Trials at once that LIMIT open files of the supervisor are enough for, 0 and more. */
long long open_files_trials(long long limit);
/* Raise our soft limit as far as the hard one for PARALLEL trials at once; never lowers it. ERR_USAGE when that is
 * not enough. Children inherit it. */
int open_files_allow(long long parallel, struct err *err) MUST_CHECK;
