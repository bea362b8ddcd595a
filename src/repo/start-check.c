/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/start-check.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "git/git.h"
#include "repo/tree.h"

static bool asks_for_paths(const struct task_repo *r, const struct strv *overlay)
{
	return r->subdir || r->sparse.n || r->remove.n || overlay->n;
}

/* The full id of START in the repository PATH, and its folder of objects; the caller frees both. */
static int find(char **id, char **objects, const char *path, const char *start, int64_t deadline_ms,
		struct err *err)
{
	AUTO(free) char *commit = xasprintf("%s^{commit}", start);
	AUTO(free)
	char *ceiling =
		xasprintf("GIT_CEILING_DIRECTORIES=%.*s", (int)(strrchr(path, '/') - path), path);
	const char *env[] = {ceiling, NULL};
	const char *argv[] = {"rev-parse", "--git-path", "objects", commit, NULL};
	AUTO(buf) struct buf out = BUF_INIT;
	AUTO(fd) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct git_cmd c = {
		.dir_fd = dir, .argv = argv, .env = env, .max = 8192, .deadline_ms = deadline_ms};
	char *save = NULL;

	if (dir < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (git_must(&c, &out, err))
		return -1;
	const char *folder = strtok_r(out.data, "\n", &save), *name = strtok_r(NULL, "\n", &save);
	if (!folder || !name || !git_is_full_id(name))
		return err_set(err, ERR_INFRA, 0, "git does not tell of %s in %s", start, path);
	*objects = *folder == '/' ? xstrdup(folder) : path_join(path, folder);
	*id = xstrdup(name);
	return 0;
}

static bool has_submodules(const struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].mode == 0160000)
			return true;
	return false;
}

static int check_overlay(const struct tree *t, const struct strv *paths, struct err *err)
{
	AUTO(free) struct overlay_file *files = xcalloc(paths->n + 1, sizeof *files);
	const struct overlay o = {.fd = -1, .files = files, .n = paths->n};

	for (size_t i = 0; i < paths->n; i++)
		files[i].path = paths->v[i];
	return tree_check_overlay(t, &o, err);
}

int start_check(const char *path, const char *start, const struct task_repo *r,
		const struct strv *overlay, int64_t deadline_ms, struct err *err)
{
	static const char here[] = "GIT_DIR=git";
	AUTO(free) char *id = NULL;
	AUTO(free) char *objects = NULL;
	struct err why = {0};
	struct tree t;

	if (!asks_for_paths(r, overlay) || !path_is_dir(AT_FDCWD, path))
		return 0;
	/* An index of our own: theirs stays as it is. */
	AUTO(temp_dir) char *dir = path_make_temp_dir("rollouts-start", &why);
	AUTO(free) char *git = dir ? path_join(dir, "git") : NULL;
	AUTO(fd) int fd = git ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 || find(&id, &objects, path, start, deadline_ms, &why)) {
		log_debug("%s", why.msg);
		return 0;
	}
	const struct gitdir spec = {.head = "refs/heads/none",
				    .alternates = objects,
				    .bare = true,
				    .sha256 = strlen(id) == 64};
	if (gitdir_make(AT_FDCWD, git, &spec, &why) ||
	    tree_list(&t, fd, here, id, deadline_ms, &why)) {
		log_debug("%s", why.msg);
		return 0;
	}
	int rc = 0;
	if (!r->submodules || !has_submodules(&t))
		rc = tree_mark(&t, fd, here, r, deadline_ms, &why) ||
		     check_overlay(&t, overlay, &why);
	tree_release(&t);
	if (!rc)
		return 0;
	if (why.kind == ERR_USAGE) {
		*err = why;
		return -1;
	}
	log_debug("%s", why.msg);
	return 0;
}
