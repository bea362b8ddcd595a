/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ignore.h -- which new paths the ignore rules leave out, asked of one `git check-ignore` that runs
 * beside the walk. It works in a shadow: a folder of ours with copies of the .gitignore files that
 * matter and nothing else, so that git never meets an agent's links, pipes, devices or endless
 * files.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "os/spawn.h"

struct ignore {
	const char *git_dir; /* absolute, borrowed */
	int scratch_fd;	     /* borrowed */
	int64_t deadline_ms;
	int shadow_fd; /* -1 until first used */
	int to, from;  /* git's ends of a socket and a pipe, ours */
	struct child child;
	struct buf replies;
	bool broken; /* git failed: nothing is ignored from then on */
	struct err why;
};

void ignore_init(struct ignore *ig, const char *git_dir, int scratch_fd, int64_t deadline_ms);
void ignore_release(struct ignore *ig); /* ends git */

/* Make PATH ("" is the top) a directory in the shadow; its parent must be one. */
int ignore_add_dir(struct ignore *ig, const char *path, struct err *err) MUST_CHECK;
/* Give PATH (a directory of the shadow) the rules in FD, a regular file. */
int ignore_add_rules(struct ignore *ig, const char *path, int fd, struct err *err) MUST_CHECK;
/* Ask about N paths. A git that fails or takes too long leaves all of them false and sets broken.
 */
void ignore_ask(struct ignore *ig, const char *const *paths, size_t n, bool *ignored);
