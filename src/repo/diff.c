/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/changes.h"
#include "git/git.h"
#include "repo/patch.h"
#include "repo/repo.h"

static int baseline_commit(char **commit, const char *base, struct err *err)
{
	AUTO(free) char *path = path_join(base, "meta.json");
	AUTO(json) json_t *j = NULL;
	const char *id;
	if (json_read(&j, AT_FDCWD, path, 65536, err) < 0 ||
	    json_need_str(j, "baseline_commit", path, &id, err) < 0)
		return -1;
	if (!git_is_full_id(id))
		return err_set(err, ERR_INFRA, 0, "%s: baseline_commit is not a commit id", path);
	*commit = xstrdup(id);
	return 0;
}

// A git directory of our own that borrows the baseline's objects and adds the new ones.
static int make_git_dir(const struct repo_diff_spec *s, int scratch_fd, const char *commit,
			struct err *err)
{
	AUTO(free) char *objects = path_join(s->base, "repo/.git/objects");
	struct gitdir spec = {.head = IMPORT_REF,
			      .alternates = objects,
			      .attributes = git_plain_attributes,
			      .bare = true,
			      .sha256 = strlen(commit) == 64};
	return gitdir_make(scratch_fd, "diff.git", &spec, err);
}

static int write_patch(struct patch *p, const struct repo_diff_spec *s, int scratch_fd,
		       const char *commit, struct err *err)
{
	// Gitlinks are left out: a baseline has their empty directories only, and so has what is
	// diffed.
	const char *argv[] = {"diff-tree",
			      "-r",
			      "-p",
			      "--binary",
			      "--full-index",
			      "--no-ext-diff",
			      "--no-textconv",
			      "--no-renames",
			      "--no-color",
			      "--ignore-submodules=all",
			      "--src-prefix=a/",
			      "--dst-prefix=b/",
			      commit,
			      IMPORT_REF,
			      "--",
			      NULL};
	static const char *const env[] = {"GIT_DIR=diff.git", NULL};
	struct git_cmd c = {
		.dir_fd = scratch_fd, .argv = argv, .env = env, .deadline_ms = s->deadline_ms};
	if (git_stream(&c, patch_add, p, err) < 0)
		return -1;
	return patch_end(p, err);
}

static int diff_changes(struct repo_diff *out, struct import *imp, const struct repo_diff_spec *s,
			int scratch_fd, const char *commit, struct err *err)
{
	struct patch p;
	if (make_git_dir(s, scratch_fd, commit, err) < 0 ||
	    import_run(imp, scratch_fd, "diff.git", s->deadline_ms, err) < 0 ||
	    patch_begin(&p, s->out_fd, s->max_bytes ? s->max_bytes : CHANGES_DEFAULT_PATCH, err) <
		    0)
		return -1;
	int rc = write_patch(&p, s, scratch_fd, commit, err);
	patch_release(&p);
	out->bytes = p.bytes;
	out->files = p.files;
	out->lines_added = p.added;
	out->lines_removed = p.removed;
	out->truncated |= p.truncated;
	return rc;
}

int repo_diff(struct repo_diff *out, const struct repo_diff_spec *s, struct err *err)
{
	AUTO(free) char *commit = NULL;
	*out = (struct repo_diff){
		.ignored = STRV_INIT, .skipped = STRV_INIT, .times = STRV_INIT, .hooks = STRV_INIT};
	AUTO(fd) int scratch = open(s->scratch, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (scratch < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", s->scratch);
	/* An earlier one may have found no room. */
	if (path_remove_tree(scratch, "shadow", err) < 0 ||
	    path_remove_tree(scratch, "diff.git", err) < 0 ||
	    baseline_commit(&commit, s->base, err) < 0)
		return -1;
	struct import imp;
	int rc = changes_find(&imp, out, s, scratch, commit, err);
	if (rc == 0 && imp.fd >= 0)
		rc = diff_changes(out, &imp, s, scratch, commit, err);
	import_close(&imp);
	if (rc < 0)
		repo_diff_release(out);
	return rc;
}

void repo_diff_release(struct repo_diff *d)
{
	strv_release(&d->ignored);
	strv_release(&d->skipped);
	strv_release(&d->hooks);
	strv_release(&d->times);
	*d = (struct repo_diff){
		.ignored = STRV_INIT, .skipped = STRV_INIT, .times = STRV_INIT, .hooks = STRV_INIT};
}
