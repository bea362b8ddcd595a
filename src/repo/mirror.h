/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * mirror.h -- one bare repository per URL under DATA/cache/mirrors, holding what was ever asked
 * for. Other sides are asked only when a commit is missing here or a name must be resolved.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

/* The URL as it may be shown: without user and password. The caller frees. */
char *mirror_shown_url(const char *url);
/* ERR_USAGE when URL cannot be one of ours. */
int mirror_check_url(const char *url, struct err *err) MUST_CHECK;
/* Ask the other side what BRANCH (NULL: its HEAD; "refs/...": what has that whole name) is. *ID is owned by the caller. */
int mirror_resolve(char **id, int root_fd, const char *url, const char *branch, int64_t deadline_ms,
		   struct err *err) MUST_CHECK;
/* Whether the other side answers and lets us in; fails as mirror_resolve. */
int mirror_ask(int root_fd, const char *url, int64_t deadline_ms, struct err *err) MUST_CHECK;
/* Have COMMIT (a full id) in the mirror. *PATH is "cache/mirrors/HASH.git", owned by the caller. */
int mirror_need(char **path, int root_fd, const char *url, const char *commit, int64_t deadline_ms,
		struct err *err) MUST_CHECK;

/* Remove the mirror of URL if a disk lost some of it, so that it is fetched anew. Looks at each object's links, which takes
 * a while: for when something failed. False: it is whole, or cannot be looked at. */
bool mirror_drop_damaged(int root_fd, const char *url, bool sha256, int64_t deadline_ms);
/* Where the mirror of URL is, or would be: one each for commits of 40 and of 64 digits. The caller frees. */
char *mirror_path(const char *url, bool sha256);

/* For a fetch from a repository on this machine, whoever owns it; not to be sent to another
 * machine. */
extern const char mirror_local_upload_pack[];
