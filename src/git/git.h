/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * git.h -- running git with nothing of anybody else's: no configuration, hook, filter, attribute or
 * prompt; and git directories made by hand, so that no template or default gets into them.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

struct git_cmd {
	int dir_fd;		 /* working directory */
	const char *const *argv; /* after "git" */
	const char *const *env;	 /* extra "K=V"; may be NULL */
	bool network;		 /* ssh agent, home and proxies are let through */
	const void *input;	 /* else IN_FD */
	size_t input_len;
	int in_fd, out_fd; /* 0: none; OUT_FD is used where no buffer is given */
	size_t max;	   /* bytes kept of the output */
	int64_t deadline_ms;
};

/* The whole environment of a git of ours. */
void git_env(struct strv *env, bool network, const char *const *extra);
/* Run; a non-zero exit is a result. OUT may be NULL. Without git ERR_INFRA with err->sys ENOENT. */
int git_run(const struct git_cmd *c, struct buf *out, struct buf *err_text, int *status,
	    struct err *err) MUST_CHECK;
/* Run; a non-zero exit is an ERR_INFRA error holding git's last lines. OUT may be NULL. */
int git_must(const struct git_cmd *c, struct buf *out, struct err *err) MUST_CHECK;

/* Run and hand over the output piece by piece; when TAKE returns 1 git is killed and all is well,
 * -1 is an error. A non-zero exit is an ERR_INFRA error. */
int git_stream(const struct git_cmd *c,
	       int (*take)(void *arg, const char *data, size_t n, struct err *err), void *arg,
	       struct err *err) MUST_CHECK;

/* At most LINES lines of what git said, from the front or the back, on one line and safe for a
 * terminal; hints and progress are left out. The caller frees. */
char *git_said(const struct buf *err_text, size_t lines, bool from_end);
/* Exactly 40 or 64 lower-case hex digits. */
bool git_is_full_id(const char *s);

struct gitdir {
	const char *head;	/* "refs/heads/main" */
	const char *alternates; /* an objects directory: absolute, or relative to PATH/objects;
				   NULL: none */
	const char *config;	/* more lines for the config file; NULL: none */
	const char *attributes; /* content of info/attributes; NULL: none */
	bool bare, sha256;
};

/* Attributes that switch every effect of a tree's .gitattributes off: contents are bytes. */
extern const char git_plain_attributes[];

/* Make a git directory PATH (its parent must exist) below DIR_FD. */
int gitdir_make(int dir_fd, const char *path, const struct gitdir *spec,
		struct err *err) MUST_CHECK;
/* Remove the lock files and half-received packs of a killed git. Call only with a lock on PATH. */
int gitdir_sweep(int dir_fd, const char *path, struct err *err) MUST_CHECK;

static inline void auto_umask(mode_t *old)
{
	umask(*old);
}
