/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * own-copy.h -- the copy of a repository that a container image holds itself, as it was taken to DATA_COPIES/KEY
 * (engine/inspect-files.h): programs of the image may be installed from it in place. Its .git is read as data.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "repo/build.h"

struct own_copy {
	bool git;     /* it is a checkout */
	bool commits; /* and has the commit that was asked for */
};

/* What the copy KEY is, and whether COMMIT (a full id) is among its objects. ERR_INFRA where it cannot be read. */
int own_copy_look(struct own_copy *out, int root_fd, const char *key, const char *commit,
		  struct err *err) MUST_CHECK;
/* Into B's baseline, whose repo/ is there: below/ gets what the copy holds and its git does not track, unless the baseline
 * has something of that name. Where git would not ignore a file of it either, repo/.git/info/exclude names it. A copy
 * that is no checkout gives only what the baseline ignores. Files are links to the copy's where that is possible. */
int own_copy_lay(const struct build *b, struct err *err) MUST_CHECK;
