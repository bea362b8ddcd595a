/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * build.h -- making one baseline in a directory of its own; baseline.c decides when, and puts it in
 * place.
 *
 * A staging repository borrows the mirror's objects and gets one commit on top: removals and
 * overlays done by fast-import, the old history below it only when nothing was taken away. The
 * final repository fetches that commit, hence holds exactly what is reachable from it, and is
 * checked out with attributes off.
 */
#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "repo/overlay.h"
#include "task/task.h"

struct build {
	int tmp_fd;	    /* DATA/cache/baselines/.tmp-KEY.*, empty */
	const char *mirror; /* "cache/mirrors/HASH.git" */
	int root_fd;
	const struct task_repo *repo;
	const char *branch;
	const char *start; /* full id */
	const struct overlay *overlay;
	const char *
		own_copy; /* key of an image's own copy of the repository (own-copy.h); NULL: none */
	int64_t deadline_ms;
};

struct built {
	char *commit; /* owned */
	int64_t files, bytes;
};

/* Leaves repo/ and host.git/ in the directory. host.git is a git directory beside the agent's, for
 * our own git: it borrows the objects and switches attributes off. */
int build_baseline(const struct build *b, struct built *out, struct err *err) MUST_CHECK;
/* git in B's directory, with ENV (NULL: nothing more); what it prints goes to OUT (NULL: nowhere). ERR_INFRA when it fails. */
int build_git(const struct build *b, const char *const *argv, const char *const *env,
	      struct buf *out, struct err *err) MUST_CHECK;
