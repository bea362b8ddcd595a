/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * source.h -- where a task's repository is: a git URL, or a repository or bundle on this machine,
 * whose start commit is then pinned.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"

/* What is wrong with NAME as a branch or a commit; NULL when nothing is. Static text. */
const char *source_name_issue(const char *name);
/* WRITTEN as a URL we let git use, or as the absolute path of something local that exists: looked
 * for below TASK_DIR, then in the working directory. The caller owns *url. ERR_USAGE says what is
 * wrong with it. */
int source_resolve(char **url, bool *local, const char *written, const char *task_dir,
		   struct err *err) MUST_CHECK;
/* The full id of COMMIT (NULL: the tip of BRANCH, or HEAD) in the local repository or bundle PATH;
 * of a full id, whether it is a commit there. The caller owns *id. Runs git without anybody's
 * configuration; a commit inside a bundle is looked for in a temporary copy. */
int source_pin(char **id, const char *path, const char *branch, const char *commit,
	       struct err *err) MUST_CHECK;
/* Lines on what of START in the local repository PATH no agent will see: submodules, unless SUBMODULES, and files that
 * Git LFS holds elsewhere. Nothing where that cannot be told, as of a bundle. */
void source_look_for_hollow(struct strv *out, const char *path, const char *start, bool submodules);
bool source_is_bundle(int fd);
