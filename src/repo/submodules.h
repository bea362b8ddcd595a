/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * submodules.h -- part of build.c: a start commit whose submodules are ordinary folders, filled.
 */
#pragma once
#include "repo/build.h"

/* *COMMIT, owned by the caller, is made on top of b->start in stage.git, with the files of every submodule, and of theirs,
 * in its place; NULL: there are none. Fetches what no mirror has. ERR_USAGE for a submodule that says of itself where
 * nobody may look. */
int submodules_flatten(const struct build *b, int64_t date, char **commit,
		       struct err *err) MUST_CHECK;
