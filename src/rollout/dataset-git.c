/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/dataset-git.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "git/git.h"
#include "os/fdio.h"
#include "repo/mirror.h"
#include "store/store.h"

#define FETCH_MS (INT64_C(60) * 60 * 1000)

/* In the work tree itself: from elsewhere git writes nothing, and says nothing. */
static int git_in(int tree, const char *const *argv, int64_t deadline_ms, struct err *err)
{
	static const char *const env[] = {"GIT_DIR=../stage.git", "GIT_WORK_TREE=.",
					  "GIT_INDEX_FILE=../stage.git/index", NULL};
	const struct git_cmd c = {
		.dir_fd = tree, .argv = argv, .env = env, .deadline_ms = deadline_ms};

	return git_must(&c, NULL, err);
}

/* Files as they are in the commit: attributes of it change nothing, filters are nobody's. */
static int check_out(int tmp, const char *mirror, const char *commit, int64_t deadline_ms,
		     struct err *err)
{
	AUTO(free) char *alternates =
		xasprintf("../../../../mirrors/%s/objects", path_base(mirror));
	const struct gitdir spec = {.head = "refs/heads/none",
				    .alternates = alternates,
				    .attributes = git_plain_attributes,
				    .bare = true,
				    .sha256 = strlen(commit) == 64};
	const char *const read[] = {"read-tree", commit, NULL};
	static const char *const write[] = {"checkout-index", "-a", "-q", NULL};

	if (mkdirat(tmp, "tree", 0755))
		return err_set(err, ERR_INFRA, errno, "make directory tree");
	if (gitdir_make(tmp, "stage.git", &spec, err))
		return -1;
	AUTO(fd) int tree = path_open_beneath(tmp, "tree", O_RDONLY | O_DIRECTORY, 0, err);
	return tree < 0 || git_in(tree, read, deadline_ms, err) ||
			       git_in(tree, write, deadline_ms, err)
		       ? -1
		       : 0;
}

/* Whole, and on the disk, before it has its name. */
static int make(int root_fd, const char *dir, const char *url, const char *commit,
		int64_t deadline_ms, struct err *err)
{
	AUTO(free) char *tmp = xasprintf("%s.tmp", dir);
	AUTO(free) char *tree = xasprintf("%s/tree", tmp);
	AUTO(free) char *mirror = NULL;
	struct err ignored;

	if (mirror_need(&mirror, root_fd, url, commit, deadline_ms, err) ||
	    path_remove_tree(root_fd, tmp, err) || path_make_dirs(root_fd, tmp, 0755, err))
		return -1;
	AUTO(fd) int fd = path_open_beneath(root_fd, tmp, O_RDONLY | O_DIRECTORY, 0, err);
	int status =
		fd < 0 || check_out(fd, mirror, commit, deadline_ms, err) || path_sync_all(fd, err)
			? -1
			: 0;
	if (!status && renameat(root_fd, tree, root_fd, dir))
		status = err_set(err, ERR_INFRA, errno, "rename to %s", dir);
	if (path_remove_tree(root_fd, tmp, &ignored) && !status)
		return path_sync_all(root_fd, err);
	return status;
}

static int have(int root_fd, const char *dir, const char *url, const char *commit, struct err *err)
{
	const int64_t deadline_ms = clock_mono_ms() + FETCH_MS;
	AUTO(free) char *lock = xasprintf("%s.lock", dir);

	if (path_make_dirs(root_fd, DATA_DATASETS, 0755, err))
		return -1;
	AUTO(fd) int fd = fd_lock(root_fd, lock, deadline_ms, err);
	if (fd < 0)
		return -1;
	return path_exists(root_fd, dir) ? 0 : make(root_fd, dir, url, commit, deadline_ms, err);
}

/* A branch, else a tag, whether it is annotated or not; NULL: the head. */
static int resolve(char **commit, int root_fd, const char *url, const char *ref, struct err *err)
{
	const int64_t deadline_ms = clock_mono_ms() + FETCH_MS;
	AUTO(free) char *peeled = ref ? xasprintf("refs/tags/%s^{}", ref) : NULL;
	AUTO(free) char *tag = ref ? xasprintf("refs/tags/%s", ref) : NULL;
	AUTO(free) char *shown = mirror_shown_url(url);
	struct err other;

	if (!mirror_resolve(commit, root_fd, url, ref, deadline_ms, err))
		return 0;
	if (!ref || err->kind != ERR_USAGE || !strstr(err->msg, "has no branch"))
		return -1;
	if (!mirror_resolve(commit, root_fd, url, peeled, deadline_ms, &other) ||
	    !mirror_resolve(commit, root_fd, url, tag, deadline_ms, &other))
		return 0;
	return err_set(err, ERR_USAGE, 0,
		       "repository %s has no branch or tag \"%s\"; a commit is named by all 40 (or "
		       "64) digits",
		       shown, ref);
}

/* Whether the file NAME at the top of DIR says WORD. */
static bool says(int root_fd, const char *dir, const char *name, const char *word)
{
	AUTO(free) char *path = path_join(dir, name);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	return !path_read_beneath(root_fd, path, 1 << 20, &text, &ignored) &&
	       strstr(text.data, word);
}

/* Tasks that miss their data fail for every agent. */
static void note_hollow(const struct config_request *req, int root_fd, const char *dir,
			const char *shown)
{
	const char *const lines[] = {
		says(root_fd, dir, ".gitattributes", "filter=lfs")
			? "keeps files in Git LFS, which is not fetched: its tasks have pointers "
			  "in "
			  "their place"
			: NULL,
		says(root_fd, dir, ".gitmodules", "[submodule")
			? "has submodules, which are not fetched: their folders are empty"
			: NULL};

	for (size_t i = 0; req->notes && i < ARRAY_SIZE(lines); i++) {
		AUTO(free) char *line = lines[i] ? xasprintf("git+%s %s", shown, lines[i]) : NULL;
		if (line && !strv_has(req->notes, line))
			strv_push(req->notes, line);
	}
}

static int get(struct dataset_commit *out, const struct store *s, const struct config_request *req,
	       const char *url, const char *ref, struct err *err)
{
	AUTO(free) char *commit = ref && git_is_full_id(ref) ? xstrdup(ref) : NULL;
	AUTO(free) char *shown = mirror_shown_url(url);
	AUTO(free) char *mirror = NULL;
	const bool given = commit != NULL;

	if (!given && resolve(&commit, s->root_fd, url, ref, err))
		return -1;
	mirror = mirror_path(url, strlen(commit) == 64);
	AUTO(free)
	char *dir = xasprintf(DATA_DATASETS "/%.12s-%s", path_base(mirror), commit);
	if (have(s->root_fd, dir, url, commit, err))
		return -1;
	note_hollow(req, s->root_fd, dir, shown);
	out->dir = path_join(s->root, dir);
	out->shown = xasprintf("git+%s@%s", shown, commit);
	AUTO(free)
	char *line =
		xasprintf("git+%s%s%s names no commit: it is %s now; @%s runs the same tasks again",
			  shown, ref ? "@" : "", ref ? ref : "", commit, commit);
	if (!given && req->notes && !strv_has(req->notes, line))
		strv_push(req->notes, line);
	return 0;
}

int dataset_commit_get(struct dataset_commit *out, const struct config_request *req,
		       const char *url, const char *ref, struct err *err)
{
	struct store s;

	*out = (struct dataset_commit){0};
	if (mirror_check_url(url, err) ||
	    store_open(&s, req->data_dir ? req->data_dir : "data", true, err))
		return -1;
	int status = get(out, &s, req, url, ref, err);
	store_close(&s);
	return status;
}

void dataset_commit_release(struct dataset_commit *c)
{
	free(c->dir);
	free(c->shown);
	*c = (struct dataset_commit){0};
}
