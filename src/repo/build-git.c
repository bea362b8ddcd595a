/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "git/git.h"
#include "repo/build.h"

int build_git(const struct build *b, const char *const *argv, const char *const *env,
	      struct buf *out, struct err *err)
{
	struct git_cmd c = {.dir_fd = b->tmp_fd,
			    .argv = argv,
			    .env = env,
			    .max = 1 << 30,
			    .deadline_ms = b->deadline_ms};
	return git_must(&c, out, err);
}
