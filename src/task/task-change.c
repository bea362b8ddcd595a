/* SPDX-License-Identifier: GPL-3.0-or-later
 * Whether a diff made from an older state of a task still means something. */
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "task/files.h"

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_strv(const struct strv *a, const struct strv *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool same_instructions(const struct task *a, const struct task *b)
{
	if (a->steps_n != b->steps_n)
		return false;
	for (size_t i = 0; i < a->steps_n; i++)
		if (!same_text(a->steps[i].instruction, b->steps[i].instruction) ||
		    !same_strv(&a->steps[i].follow_ups, &b->steps[i].follow_ups) ||
		    !same_strv(&a->steps[i].images, &b->steps[i].images))
			return false;
	return true;
}

/* The tree FOLDER of SNAPSHOT against one that is in memory only. */
static int compare_tree(bool *same, const struct filetree *now, int root_fd, const char *snapshot,
			const char *folder, struct err *err)
{
	AUTO(free) char *path = path_join(snapshot, folder);
	AUTO(strv) struct strv lines = STRV_INIT;
	struct issues m = {&lines, 0};
	struct filetree then = {0};
	struct hash a, b;
	char mine[HASH_HEX], theirs[HASH_HEX];

	filetree_scan(&then, root_fd, path, NULL, NULL, &m);
	hash_init(&a);
	hash_init(&b);
	filetree_hash(now, &a);
	filetree_hash(&then, &b);
	hash_hex(&a, mine);
	hash_hex(&b, theirs);
	filetree_release(&then);
	*same = strcmp(mine, theirs) == 0;
	return lines.n ? err_set(err, ERR_INFRA, 0, "%s", lines.v[0]) : 0;
}

/* The agent's start is the checkout of a commit without what is removed and with what is laid over
 * it; where the commit is fetched from makes no difference to it. */
static const char *changed_start(const struct task_repo *a, const struct task_repo *b, bool overlay)
{
	if (!same_text(a->subdir, b->subdir))
		return "repo.subdir";
	if (!same_strv(&a->sparse, &b->sparse))
		return "repo.sparse_checkout";
	if (!same_strv(&a->remove, &b->remove))
		return "remove_repo_paths";
	return overlay ? "overlay_repo_files" : NULL;
}

int task_compare(struct task_change *out, const struct task *t, int root_fd, const char *snapshot,
		 struct err *err)
{
	struct task old;
	bool same_repo, same_app;

	if (task_load(&old, root_fd, snapshot, err))
		return -1;
	int status =
		compare_tree(&same_repo, &t->files->repo, root_fd, snapshot, SNAPSHOT_REPO, err) ||
				compare_tree(&same_app, &t->files->app, root_fd, snapshot,
					     SNAPSHOT_APP, err)
			? -1
			: 0;
	if (!status)
		*out = (struct task_change){
			.start = changed_start(&old.repo, &t->repo, !same_repo),
			.start_commit = STEAL(&old.repo.start_commit),
			.instruction = !same_instructions(&old, t),
			.surroundings = !same_app ||
					!same_text(old.docker_image, t->docker_image) ||
					!kvs_equal(&old.env, &t->env),
		};
	task_release(&old);
	return status;
}

void task_change_release(struct task_change *c)
{
	free(c->start_commit);
	*c = (struct task_change){0};
}
