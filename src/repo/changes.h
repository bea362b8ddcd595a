/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * changes.h -- what differs between a workspace and its baseline, as a stream for fast-import.
 * Everything is reached by descriptors, from directory to directory, and no link is followed. In an
 * overlay only the upper directory is walked; in a copy both trees are walked side by side. Contents
 * decide: `mv` keeps size and time, and so does much else.
 *
 * A path is tracked when the baseline's work tree has it, since that holds tracked files only. Left
 * out: new paths the ignore rules name, unless the agent's index holds them; what git cannot hold (sockets, pipes, devices; anything
 * named .git, so of a repository made by the agent the files are kept and its .git is not; a link
 * named .gitmodules); files inside a submodule's directory; files and trees beyond the bounds. All
 * but the top .git is listed.
 */
#pragma once
#include "base/err.h"
#include "repo/import.h"
#include "repo/repo.h"

#define CHANGES_DEFAULT_PATCH ((int64_t)256 << 20) /* bytes, when the caller does not say */

/* Walk and write to IMP (opened and begun on the baseline COMMIT only when there is a change: fd -1
 * otherwise). OUT gets the lists and *truncated. */
int changes_find(struct import *imp, struct repo_diff *out, const struct repo_diff_spec *s,
		 int scratch_fd, const char *commit, struct err *err) MUST_CHECK;
