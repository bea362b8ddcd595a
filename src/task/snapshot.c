/* SPDX-License-Identifier: GPL-3.0-or-later
 * DATA/cache/tasks/HASH: made in a temporary directory under a lock, renamed when whole. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/fdio.h"
#include "task/files.h"
#include "task/resolved.h"
#include "task/task.h"

#define TEMPORARY ".new"
#define LOCK_WAIT_MS (10 * 60 * 1000)

void task_files_free(struct task_files *files)
{
	if (!files)
		return;
	filetree_release(&files->app);
	filetree_release(&files->repo);
	free(files->gold);
	free(files);
}

static void repo_release(struct task_repo *repo)
{
	free(repo->git_url);
	free(repo->branch);
	free(repo->start_commit);
	free(repo->end_commit);
	free(repo->subdir);
	strv_release(&repo->sparse);
	strv_release(&repo->remove);
}

static void step_release(struct task_step *s)
{
	for (size_t i = 0; i < s->rubrics_n; i++) {
		free(s->rubrics[i].id);
		free(s->rubrics[i].criterion);
		json_decref(s->rubrics[i].criteria);
	}
	for (size_t i = 0; i < s->tests_n; i++) {
		free(s->tests[i].path);
		free(s->tests[i].rubric_id);
		free(s->tests[i].content);
		free(s->tests[i].command);
	}
	free(s->rubrics);
	free(s->tests);
	free(s->name);
	free(s->instruction);
	strv_release(&s->follow_ups);
	strv_release(&s->images);
}

bool task_step_tests(const struct task_step *step, const char *id)
{
	for (size_t i = 0; i < step->tests_n; i++)
		if (step->tests[i].rubric_id && strcmp(step->tests[i].rubric_id, id) == 0)
			return true;
	return false;
}

void task_overlay_paths(const struct task *t, struct strv *out)
{
	for (size_t i = 0; t->files && i < t->files->repo.n; i++)
		if (t->files->repo.v[i].kind != FILETREE_DIR)
			strv_push(out, t->files->repo.v[i].path);
}

void task_release(struct task *t)
{
	for (size_t i = 0; i < t->steps_n; i++)
		step_release(&t->steps[i]);
	free(t->steps);
	free(t->dir);
	free(t->id);
	free(t->title);
	free(t->cluster);
	free(t->fetches);
	free(t->difficulty);
	free(t->docker_image);
	json_decref(t->tags);
	json_decref(t->harbor);
	json_decref(t->around);
	strv_release(&t->unknown);
	repo_release(&t->repo);
	kvs_release(&t->env);
	strv_release(&t->notes);
	strv_release(&t->hollow);
	strv_release(&t->withheld);
	task_files_free(t->files);
	*t = (struct task){0};
}

/* A directory that other users may enter whatever the umask, since workers run as such. */
static int make_open_dir(int dir_fd, const char *path, struct err *err)
{
	struct stat st;

	if (path_make_dirs(dir_fd, path, 0755, err))
		return -1;
	AUTO(fd) int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if ((st.st_mode & 0755) != 0755 && fchmod(fd, st.st_mode | 0755))
		return err_set(err, ERR_INFRA, errno, "set mode of %s", path);
	return 0;
}

static void hash_trees(const struct filetree *app, const struct filetree *repo, char out[HASH_HEX])
{
	struct hash h;

	hash_init(&h);
	filetree_hash(app, &h);
	filetree_hash(repo, &h);
	hash_hex(&h, out);
}

bool task_snapshot_is_whole(int root_fd, const char *snapshot)
{
	struct task t = {0};
	struct filetree app = {0}, repo = {0};
	AUTO(strv) struct strv lines = STRV_INIT;
	struct issues issues = {.lines = &lines};
	char trees[HASH_HEX];
	struct err ignored;

	if (task_load(&t, root_fd, snapshot, &ignored))
		return false;
	AUTO(fd) int fd = path_open_beneath(root_fd, snapshot, O_RDONLY | O_DIRECTORY, 0, &ignored);
	bool whole = fd >= 0;
	if (whole && t.trees[0]) {
		filetree_scan(&app, fd, SNAPSHOT_APP, NULL, NULL, &issues);
		filetree_scan(&repo, fd, SNAPSHOT_REPO, NULL, NULL, &issues);
		hash_trees(&app, &repo, trees);
		whole = !strcmp(trees, t.trees);
	}
	filetree_release(&app);
	filetree_release(&repo);
	task_release(&t);
	return whole;
}

static int write_json(int dir_fd, const struct task *t, struct err *err)
{
	AUTO(json) json_t *j = task_to_json(t);
	char trees[HASH_HEX];

	hash_trees(&t->files->app, &t->files->repo, trees);
	json_put_str(j, "trees", trees);

	/* It has the tests: a worker reads it, and the solution, before it becomes somebody else. */
	return json_write(dir_fd, SNAPSHOT_TASK, j, false, err);
}

static int write_tree(int dir_fd, const char *name, const struct filetree *o, int src_fd,
		      struct err *err)
{
	if (make_open_dir(dir_fd, name, err))
		return -1;
	AUTO(fd) int fd = path_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 ? -1 : filetree_write(o, src_fd, fd, err);
}

static int write_gold(int dir_fd, const struct task_files *files, int src_fd, struct err *err)
{
	char digest[HASH_HEX];
	int64_t size;

	if (!files->gold)
		return 0;
	AUTO(fd)
	int fd = path_open_beneath(dir_fd, SNAPSHOT_GOLD, O_WRONLY | O_CREAT | O_EXCL, 0644, err);
	if (fd < 0)
		return -1;
	if (filetree_digest(src_fd, files->gold, TASK_MAX_GOLD, fd, digest, &size, err))
		return -1;
	if (strcmp(digest, files->gold_digest))
		return err_set(err, ERR_USAGE, 0,
			       "%s changed while the task was being read; run again", files->gold);
	return 0;
}

static int write_all(const struct task *t, int dir_fd, struct err *err)
{
	AUTO(fd) int src = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (src < 0)
		return err_set(err, ERR_USAGE, errno, "open task folder %s", t->dir);
	if (write_tree(dir_fd, SNAPSHOT_APP, &t->files->app, src, err) ||
	    write_tree(dir_fd, SNAPSHOT_REPO, &t->files->repo, src, err) ||
	    write_gold(dir_fd, t->files, src, err))
		return -1;
	return write_json(dir_fd, t, err);
}

/* Whoever holds the lock is alone: an older temporary directory is a killed process's. */
static int make_snapshot(const struct task *t, int tasks_fd, struct err *err)
{
	if (path_remove_tree(tasks_fd, TEMPORARY, err) ||
	    path_remove_tree(tasks_fd, t->hash, err) || make_open_dir(tasks_fd, TEMPORARY, err))
		return -1;
	AUTO(fd) int fd = path_open_beneath(tasks_fd, TEMPORARY, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	if (write_all(t, fd, err)) {
		struct err ignored;
		if (path_remove_tree(tasks_fd, TEMPORARY, &ignored))
			return -1;
		return -1;
	}
	if (renameat(tasks_fd, TEMPORARY, tasks_fd, t->hash))
		return err_set(err, ERR_INFRA, errno, "rename to %s", t->hash);
	return 0;
}

enum found { FOUND_NONE, FOUND_SAME, FOUND_MOVED };

/* A snapshot that cannot be read or lacks something of its files (a power cut) is none. MOVED: the same commit in
 * another local place. */
static enum found look(const struct task *t, int root_fd, const char *path)
{
	struct task old = {0};
	struct err ignored;
	enum found found = FOUND_NONE;

	if (!path_exists(root_fd, path) || task_load(&old, root_fd, path, &ignored))
		return FOUND_NONE;
	found = strcmp(old.hash, t->hash)		    ? FOUND_NONE
		: strcmp(old.repo.git_url, t->repo.git_url) ? FOUND_MOVED
							    : FOUND_SAME;
	task_release(&old);
	return found == FOUND_NONE || task_snapshot_is_whole(root_fd, path) ? found : FOUND_NONE;
}

static int update_snapshot(const struct task *t, int root_fd, const char *path, struct err *err)
{
	AUTO(fd) int tasks = openat(root_fd, DATA_TASKS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (tasks < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", DATA_TASKS);
	AUTO(fd) int lock = fd_lock(tasks, ".lock", clock_mono_ms() + LOCK_WAIT_MS, err);
	if (lock < 0)
		return -1;
	switch (look(t, root_fd, path)) {
	case FOUND_SAME:
		return 0;
	case FOUND_NONE:
		return make_snapshot(t, tasks, err);
	case FOUND_MOVED:
		break;
	}
	/* The place that was found just now is the one that surely exists. */
	AUTO(fd) int fd = path_open_beneath(tasks, t->hash, O_RDONLY | O_DIRECTORY, 0, err);
	return fd < 0 ? -1 : write_json(fd, t, err);
}

int task_snapshot(const struct task *t, const struct task_source *src, int root_fd, char **path,
		  struct err *err)
{
	AUTO(free) char *where = xasprintf(DATA_TASKS "/%s", t->hash);

	if (!t->files)
		return err_set(err, ERR_USAGE, 0, "task %s has no folder to take a snapshot of",
			       t->id);
	if (make_open_dir(root_fd, DATA_CACHE, err) || make_open_dir(root_fd, DATA_TASKS, err))
		return -1;
	if (look(t, root_fd, where) != FOUND_SAME && update_snapshot(t, root_fd, where, err))
		return err_wrap(err, "snapshot of task %s", src->dir);
	path_touch(root_fd, where);
	*path = STEAL(&where);
	return 0;
}

int task_load(struct task *out, int root_fd, const char *snapshot, struct err *err)
{
	AUTO(free) char *file = path_join(snapshot, SNAPSHOT_TASK);
	AUTO(json) json_t *doc = NULL;
	struct task t = {0};

	/* Twice the size: what was one document may be written with more escapes. */
	if (json_read(&doc, root_fd, file, 4 * TASK_MAX_DOC, err))
		return -1;
	if (task_from_json(&t, doc, file, err)) {
		task_release(&t);
		return -1;
	}
	*out = t;
	return 0;
}
