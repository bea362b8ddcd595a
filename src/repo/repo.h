/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * repo.h -- git on the host's side of the fence: mirrors, clean baselines, diffs of what an agent
 * did, and applying them. Every git runs as git/git.h says: GIT_ALLOW_PROTOCOL=https:ssh:file, no
 * system or user configuration, no hooks, filters, LFS, attributes, prompts or credentials helpers
 * of others, `--` before operands. No function here follows a link an agent made or reads the
 * agent's .git.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"
#include "core/bench.h"
#include "task/task.h"

/* The clean start of every trial of a task: DATA/cache/baselines/KEY/
 *   repo/      the work tree with its .git: no remote, reflog, tag, hook, or object beyond the
 *              baseline; files hold the commit's bytes (no filter, no line ends) and have its date
 *              its objects lie in .git/baseline-objects, an alternate of .git/objects, and all its
 *              files have a second name in links/: what an agent links in an overlay is then the
 *              same file, and `git clone` of it works
 *   host.git/  a git directory for our own git: repo/'s objects, and attributes switched off
 *   below/     with an image's own copy: what it has beside what is tracked; shows through under repo/
 *   meta.json  {start_commit, baseline_commit, branch, files, bytes}
 *
 * KEY hashes (commit, branch, subdir, sparse set, removals, overlay and injected files). History
 * before the start commit is kept only when nothing was taken away from the tree; otherwise the
 * baseline is a root commit. KEY.lock and .tmp-KEY.* are beside it while it is made.
 * DATA/cache/pins/TASK_HASH.json keeps what a task was resolved to the first time: a branch that
 * moves changes nothing afterwards, and the next trial reads two small files.
 */
struct repo_baseline {
	char *path;	       /* "cache/baselines/KEY", owned */
	char *start_commit;    /* owned */
	char *baseline_commit; /* owned */
	int64_t files, bytes;
};

/* Find or make it. Blocks: fetches into the mirror DATA/cache/mirrors/HASH.git when the commit is
 * not there. Safe under parallel use (locks); an interrupted build leaves nothing behind that is
 * used. Network and lock faults are ERR_INFRA with retry; an unknown commit or unusable path is
 * ERR_USAGE. OWN_COPY: the key of an image's own copy of the repository, of which below/ shows what
 * git does not track (own-copy.h); NULL: none. */
int repo_baseline_get(struct repo_baseline *out, int root_fd, const struct task *t,
		      const char *snapshot, const char *own_copy, int64_t deadline_ms,
		      struct err *err) MUST_CHECK;
/* The full id of the commit that T begins with, looked up once and then kept. The caller frees *OUT. Blocks and
 * fails as repo_baseline_get. */
int repo_start_commit(char **out, int root_fd, const struct task *t, int64_t deadline_ms,
		      struct err *err) MUST_CHECK;
void repo_baseline_release(struct repo_baseline *b);

/* What changed in a workspace, as a patch. Runs where WORK and UPPER can be read (the sandbox's
 * keeper). Absolute paths. With UPPER the changed set is read from the overlay's upper directory
 * alone; without, the work tree is compared with the baseline's index. */
struct repo_diff_spec {
	const char *base;    /* baseline directory (holding repo/) */
	const char *work;    /* the merged work tree */
	const char *upper;   /* overlay upper directory, or NULL */
	const char *scratch; /* an empty directory for temporary objects; the caller removes it */
	int out_fd;	     /* the patch is written here: a regular file */
	int64_t max_bytes;   /* of the patch; 256 MiB when 0 */
	int64_t max_file_bytes; /* a larger new file is left out and listed; a quarter of max_bytes when 0 */
	int64_t deadline_ms;
};

struct repo_diff {
	int64_t bytes, lines_added, lines_removed, files;
	bool truncated;	     /* larger than max_bytes: the patch ends at a whole file */
	struct strv ignored; /* untracked and ignored paths (directories with a trailing slash), at
				most 1000 */
	/* "PATH: reason", at most 1000: too large, a special file, a .git of the agent's own making
	 * (the other files of such a repository are kept), files inside a submodule, ... */
	struct strv skipped;
	/* "SECONDS.NANOSECONDS PATH": when what is in the patch, or was only touched, was written last; 16 MiB at most.
	 * What is built in a workspace is compared by time with what it was built from. */
	struct strv times;
	struct strv
		hooks; /* names in .git/hooks that are no samples, 20 at most: of the agent's, no part of the patch */
};

int repo_diff(struct repo_diff *out, const struct repo_diff_spec *s, struct err *err) MUST_CHECK;
void repo_diff_release(struct repo_diff *d);

/* Apply PATCH_FD's bytes, from the start of a regular file, to WORK (a pristine copy of BASE's
 * tree). 0 and *why NULL: applied. 0 and *why set (owned): git refused, nothing was changed. -1:
 * could not be tried. */
int repo_apply(const char *base, const char *work, int patch_fd, int64_t deadline_ms, char **why,
	       struct err *err) MUST_CHECK;
/* Give the files of WORK, to which a patch was applied, the times in TIMES_FD: a repo_diff's, each ended by a NUL, read
 * from the start. What is not there, or is no time, is passed over. */
int repo_apply_times(const char *work, int times_fd, struct err *err) MUST_CHECK;
