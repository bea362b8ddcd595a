/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * folder-try.h -- whether a folder's file system is one that tasks can be worked on, by using it: mount options and
 * file systems that lack something change what agents and tests see, and so the score.
 */
#pragma once
#include "base/err.h"

/* Files run, links can be made and locked files renamed, and names differ by case. ERR_INFRA says what does not
 * hold of the file system. Leaves nothing; blocks for the start of one program. */
int folder_try(int dir_fd, struct err *err) MUST_CHECK;
