/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/build.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/dir.h"
#include "git/git.h"
#include "repo/import.h"
#include "repo/mirror.h"
#include "repo/own-copy.h"
#include "repo/submodules.h"
#include "repo/tree.h"

#define STAGE "GIT_DIR=stage.git"

// Stat data that survives an overlay or a copy (other inodes, other ctime): `git status` re-hashes
// nothing. No background work in the agent's repository, and a name to commit under.
static const char agent_config[] = "\tcheckStat = minimal\n"
				   "\ttrustctime = false\n"
				   "[gc]\n\tauto = 0\n"
				   "[maintenance]\n\tauto = false\n"
				   "[user]\n\tname = agent\n\temail = agent@localhost\n";

static bool is_sha256(const struct build *b)
{
	return strlen(b->start) == 64;
}

static int stage_make(const struct build *b, struct err *err)
{
	AUTO(free) char *shallow = path_join(b->mirror, "shallow");
	AUTO(free)
	char *alternates = xasprintf("../../../../mirrors/%s/objects", path_base(b->mirror));
	struct gitdir spec = {
		.head = IMPORT_REF, .alternates = alternates, .bare = true, .sha256 = is_sha256(b)};
	if (gitdir_make(b->tmp_fd, "stage.git", &spec, err) < 0)
		return -1;
	if (!path_exists(b->root_fd, shallow))
		return 0;
	AUTO(buf) struct buf grafts = BUF_INIT;
	if (path_read(b->root_fd, shallow, 1 << 24, &grafts, err) < 0)
		return -1;
	return path_write(b->tmp_fd, "stage.git/shallow", grafts.data, grafts.len, 0644, false,
			  err);
}

// Committer date and tree of the start commit.
static int start_info(const struct build *b, int64_t *date, char **tree_id, struct err *err)
{
	const char *argv[] = {"log", "-1", "--format=%ct %T", b->start, "--", NULL};
	static const char *const env[] = {STAGE, NULL};
	AUTO(buf) struct buf out = BUF_INIT;
	if (build_git(b, argv, env, &out, err) < 0)
		return -1;
	char *rest;
	*date = strtoll(out.data, &rest, 10);
	if (*date < 0)
		*date = 0;
	if (*rest != ' ')
		return err_set(err, ERR_INFRA, 0, "git log of %s: unexpected answer", b->start);
	*tree_id = xstrndup(rest + 1, strcspn(rest + 1, "\n"));
	return 0;
}

static int rev_parse(const struct build *b, const char *name, char **id, struct err *err)
{
	const char *argv[] = {"rev-parse", "--verify", "-q", name, NULL};
	static const char *const env[] = {STAGE, NULL};
	AUTO(buf) struct buf out = BUF_INIT;
	if (build_git(b, argv, env, &out, err) < 0)
		return -1;
	*id = xstrndup(out.data, strcspn(out.data, "\n"));
	return 0;
}

static int add_overlay_file(struct import *imp, const struct overlay *o,
			    const struct overlay_file *f, struct err *err)
{
	char target[PATH_MAX];
	bool short_read;
	if (f->is_link) {
		ssize_t n = readlinkat(o->fd, f->path, target, sizeof target);
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "overlay link %s", f->path);
		return import_link(imp, f->path, target, (size_t)n, err);
	}
	AUTO(fd) int fd = path_open_beneath(o->fd, f->path, O_RDONLY, 0, err);
	if (fd < 0 || import_file(imp, f->path, f->executable, fd, f->size, &short_read, err) < 0)
		return -1;
	if (short_read)
		return err_retry(err, 0, "overlay file %s changed while it was read", f->path);
	return 0;
}

static int add_overlay(struct import *imp, const struct overlay *o, struct err *err)
{
	for (size_t i = 0; i < o->n; i++)
		if (add_overlay_file(imp, o, &o->files[i], err) < 0)
			return -1;
	return 0;
}

static int add_kept(const struct build *b, struct import *imp, const struct tree *t,
		    const char *tree_id, struct err *err)
{
	AUTO(free) char *subdir = tree_subdir(b->repo);
	size_t len = subdir ? strlen(subdir) : 0;
	if (subdir) {
		AUTO(free) char *name = xasprintf("%s:%s", b->start, subdir);
		AUTO(free) char *id = NULL;
		if (rev_parse(b, name, &id, err) < 0 || import_tree(imp, subdir, id, err) < 0)
			return -1;
	} else if (import_tree(imp, "", tree_id, err) < 0) {
		return -1;
	}
	for (size_t i = 0; i < t->n; i++) {
		const struct tree_entry *e = &t->entries[i];
		if (!e->gone || (subdir && strncmp(e->path, subdir, len) != 0))
			continue;
		if (import_delete(imp, e->path, err) < 0)
			return -1;
	}
	return 0;
}

static bool takes_away(const struct task_repo *r)
{
	AUTO(free) char *subdir = tree_subdir(r);
	return subdir || r->sparse.n || r->remove.n;
}

static int write_commit(const struct build *b, struct import *imp, const struct tree *t,
			int64_t date, const char *tree_id, struct err *err)
{
	bool fresh = takes_away(b->repo);
	if (import_commit(imp, fresh ? NULL : b->start, date, "Baseline", err) < 0)
		return -1;
	if (fresh && add_kept(b, imp, t, tree_id, err) < 0)
		return -1;
	if (add_overlay(imp, b->overlay, err) < 0)
		return -1;
	return import_run(imp, b->tmp_fd, "stage.git", b->deadline_ms, err);
}

static int stage_with(const struct build *b, struct tree *t, int64_t date, const char *tree_id,
		      char **commit, struct err *err)
{
	struct import imp;
	if (tree_mark(t, b->tmp_fd, STAGE, b->repo, b->deadline_ms, err) < 0 ||
	    tree_check_overlay(t, b->overlay, err) < 0 || import_open(&imp, b->tmp_fd, err) < 0)
		return -1;
	int rc = write_commit(b, &imp, t, date, tree_id, err);
	import_close(&imp);
	return rc < 0 ? -1 : rev_parse(b, IMPORT_REF, commit, err);
}

// What B starts from, where the submodules are to be filled.
static int fill_submodules(struct build *b, int64_t date, char **tree_id, char **filled,
			   struct err *err)
{
	if (!b->repo->submodules)
		return 0;
	if (submodules_flatten(b, date, filled, err))
		return -1;
	if (!*filled)
		return 0;
	b->start = *filled;
	AUTO(free) char *name = xasprintf("%s^{tree}", *filled);
	free(STEAL(tree_id));
	return rev_parse(b, name, tree_id, err);
}

// The baseline commit, in the staging repository. Nothing to do: it is the start commit itself.
static int stage_commit(const struct build *given, int64_t *date, char **commit, struct err *err)
{
	AUTO(free) char *tree_id = NULL, *filled = NULL;
	struct build copy = *given, *b = &copy;
	if (start_info(b, date, &tree_id, err) < 0 ||
	    fill_submodules(b, *date, &tree_id, &filled, err) < 0)
		return -1;
	if (!takes_away(b->repo) && b->overlay->n == 0) {
		*commit = xstrdup(b->start);
		return 0;
	}
	struct tree t;
	if (tree_list(&t, b->tmp_fd, STAGE, b->start, b->deadline_ms, err) < 0)
		return -1;
	int rc = stage_with(b, &t, *date, tree_id, commit, err);
	tree_release(&t);
	return rc;
}

static int repo_fetch(const struct build *b, const char *commit, struct err *err)
{
	AUTO(free) char *head = xasprintf("refs/heads/%s", b->branch);
	AUTO(free) char *refspec = xasprintf("%s:%s", commit, head);
	struct gitdir spec = {.head = head,
			      .config = agent_config,
			      .attributes = git_plain_attributes,
			      .sha256 = is_sha256(b)};
	if (mkdirat(b->tmp_fd, BASELINE_REPO, 0755) < 0)
		return err_set(err, ERR_INFRA, errno, "make directory repo");
	if (gitdir_make(b->tmp_fd, "repo/.git", &spec, err) < 0)
		return -1;
	const char *argv[] = {"fetch",
			      "-q",
			      "--no-tags",
			      "--no-write-fetch-head",
			      "--update-shallow",
			      "--update-head-ok",
			      mirror_local_upload_pack,
			      "--",
			      "./stage.git",
			      refspec,
			      NULL};
	static const char *const env[] = {"GIT_DIR=repo/.git", NULL};
	return build_git(b, argv, env, NULL, err);
}

// The objects lie beside .git/objects, which only names them. `git clone PATH` links or copies what is in
// .git/objects; a link to a file of an overlay's lower layer has another inode than what it was made from, which
// git takes for an attack.
static int objects_set_aside(const struct build *b, struct err *err)
{
	static const char to_base[] = "../baseline-objects\n";
	if (renameat(b->tmp_fd, "repo/.git/objects", b->tmp_fd, "repo/.git/baseline-objects") < 0)
		return err_set(err, ERR_INFRA, errno, "set the baseline's objects aside");
	if (path_make_dirs(b->tmp_fd, "repo/.git/objects/pack", 0755, err) < 0 ||
	    path_make_dirs(b->tmp_fd, "repo/.git/objects/info", 0755, err) < 0)
		return -1;
	return path_write(b->tmp_fd, "repo/.git/objects/info/alternates", to_base,
			  sizeof to_base - 1, 0644, false, err);
}

struct settle {
	bool keep_times;
	struct timespec times[2];
	int links_fd; // -1: the file system has no links
	size_t links;
};

// A second name for the file, which nobody uses. An overlay goes on showing the inode of a lower file after it was
// copied up, unless that has several names: a link that an agent makes would be another file than its source.
static int second_name(struct settle *s, int dir_fd, const char *name, struct err *err)
{
	char to[24];
	snprintf(to, sizeof to, "%zu", s->links++);
	if (s->links_fd < 0 || linkat(dir_fd, name, s->links_fd, to, 0) == 0)
		return 0;
	if (errno != EPERM && errno != EOPNOTSUPP && errno != EMLINK)
		return err_set(err, ERR_INFRA, errno, "link %s", name);
	auto_fd(&s->links_fd);
	s->links_fd = -1;
	return 0;
}

// One old time for all: an entry as young as the index itself would be re-hashed by every `git
// status`.
static int settle(struct settle *s, int dir_fd, const char *name, struct err *err)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "open %s", name);
	for (struct dirent *e; (e = readdir(d));) {
		if (dir_is_dots(e->d_name) || strcmp(e->d_name, ".git") == 0)
			continue;
		if (!s->keep_times && utimensat(fd, e->d_name, s->times, AT_SYMLINK_NOFOLLOW) < 0)
			return err_set(err, ERR_INFRA, errno, "set the time of %s", e->d_name);
		if (e->d_type == DT_DIR ? settle(s, fd, e->d_name, err)
					: second_name(s, fd, e->d_name, err))
			return -1;
	}
	return 0;
}

static int repo_checkout(const struct build *b, int64_t date, struct err *err)
{
	static const char *const read_tree[] = {"read-tree", "--reset", "-u", "HEAD", NULL};
	static const char *const refresh[] = {"update-index", "-q", "--ignore-submodules",
					      "--refresh", NULL};
	static const char *const env[] = {"GIT_DIR=repo/.git", "GIT_WORK_TREE=repo", NULL};
	int64_t oldest = 315532800,
		newest = time(NULL) - 60; // archives cannot hold times before 1980
	struct timespec t = {.tv_sec = date < oldest ? oldest : date > newest ? newest : date};
	if (mkdirat(b->tmp_fd, "links", 0755) < 0)
		return err_set(err, ERR_INFRA, errno, "make directory links");
	struct settle s = {.times = {t, t},
			   .links_fd =
				   openat(b->tmp_fd, "links", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
	int rc = build_git(b, read_tree, env, NULL, err) < 0 ||
		 settle(&s, b->tmp_fd, BASELINE_REPO, err) < 0;
	s.keep_times = true;
	rc = rc || (b->own_copy &&
		    (own_copy_lay(b, err) < 0 || settle(&s, b->tmp_fd, BASELINE_BELOW, err) < 0));
	auto_fd(&s.links_fd);
	if (rc || build_git(b, refresh, env, NULL, err) < 0)
		return -1;
	if (unlinkat(b->tmp_fd, "repo/.git/info/attributes", 0) < 0)
		return err_set(err, ERR_INFRA, errno, "remove info/attributes");
	return 0;
}

static int count_files(const struct build *b, struct built *out, struct err *err)
{
	const char *argv[] = {"ls-tree", "-r", "-l", "-z", "--full-tree", out->commit, NULL};
	static const char *const env[] = {"GIT_DIR=repo/.git", NULL};
	AUTO(buf) struct buf list = BUF_INIT;
	if (build_git(b, argv, env, &list, err) < 0)
		return -1;
	// "MODE TYPE ID   SIZE\tPATH\0"; a submodule's size is "-".
	for (const char *s = list.data, *end = s + list.len; s < end; s += strlen(s) + 1) {
		const char *tab = strchr(s, '\t');
		const char *size = tab ? tab : s;
		while (size > s && size[-1] != ' ')
			size--;
		out->files++;
		out->bytes += strtoll(size, NULL, 10);
	}
	return 0;
}

static int check_branch(const struct build *b, struct err *err)
{
	AUTO(free) char *name = xasprintf("refs/heads/%s", b->branch);
	const char *argv[] = {"check-ref-format", name, NULL};
	struct err ignored = {0};
	if (build_git(b, argv, NULL, NULL, &ignored) == 0)
		return 0;
	return err_set(err, ERR_USAGE, 0, "repo.branch: \"%s\" is not a branch name", b->branch);
}

int build_baseline(const struct build *b, struct built *out, struct err *err)
{
	AUTO(free) char *commit = NULL;
	int64_t date;
	struct gitdir host = {.head = "refs/heads/none",
			      .alternates = "../../repo/.git/objects",
			      .attributes = git_plain_attributes,
			      .sha256 = is_sha256(b)};
	*out = (struct built){0};
	if (check_branch(b, err) < 0 || stage_make(b, err) < 0 ||
	    stage_commit(b, &date, &commit, err) < 0 || repo_fetch(b, commit, err) < 0 ||
	    objects_set_aside(b, err) < 0 || repo_checkout(b, date, err) < 0 ||
	    gitdir_make(b->tmp_fd, BASELINE_GIT, &host, err) < 0)
		return -1;
	out->commit = commit;
	if (count_files(b, out, err) < 0) {
		out->commit = NULL;
		return -1;
	}
	commit = NULL;
	return path_remove_tree(b->tmp_fd, "stage.git", err);
}
