/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/carried.h"
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

static const char *snapshot_of(const struct session *s, const struct sched_item *item)
{
	return item->task_snapshot ? item->task_snapshot
				   : s->plan.trials[item->index].task_snapshot;
}

/* Each is looked at once. */
static bool is_whole(const struct session *s, const char *snapshot, json_t *seen)
{
	const json_t *known = json_object_get(seen, snapshot);

	if (!known)
		json_put_bool(seen, snapshot,
			      path_exists(s->store.root_fd, snapshot) &&
				      task_snapshot_is_whole(s->store.root_fd, snapshot));
	return json_is_true(json_object_get(seen, snapshot));
}

static const struct sched_item *first_missing(const struct session *s, const struct session_work *w)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < w->n; i++)
		if (!is_whole(s, snapshot_of(s, &w->items[i]), seen))
			return &w->items[i];
	return NULL;
}

static bool is_of(const struct session *s, const struct session_work *w, const char *snapshot)
{
	for (size_t i = 0; i < w->n; i++)
		if (strcmp(snapshot_of(s, &w->items[i]), snapshot) == 0)
			return true;
	return false;
}

/* The tasks of FILE, as they are now, stand for what is missing where their hash is the same. */
static void make_again(struct session *s, const struct session_work *w, const char *file,
		       struct strv *problems)
{
	AUTO(json) json_t *seen = json_object();
	struct config_request req = {.path = file};
	struct inputs in;
	struct err err;

	if (access(file, R_OK)) {
		strv_pushf(problems, "%s is not there", file);
	} else {
		/* A mistake in one task leaves the others. */
		if (inputs_load_tasks(&in, &req, problems, &err) && !problems->n)
			strv_push(problems, err.msg);
		for (size_t k = 0; k < in.tasks_n; k++) {
			AUTO(free) char *snapshot = path_join(DATA_TASKS, in.tasks[k].task.hash);
			if (!is_of(s, w, snapshot) || is_whole(s, snapshot, seen))
				continue;
			if (path_remove_tree(s->store.root_fd, snapshot, &err) ||
			    inputs_snapshot(&in.tasks[k], &s->store, &err))
				strv_push(problems, err.msg);
		}
		inputs_release(&in);
	}
}

static int restore_snapshots(struct session *s, const struct session_work *w, struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	const char *file = w->config ? w->config : s->plan.config;

	if (!first_missing(s, w))
		return 0;
	make_again(s, w, file, &problems);
	const struct sched_item *missing = first_missing(s, w);
	/* What else came along of the cache may be no better. */
	if (!missing)
		return path_remove_tree(s->store.root_fd, DATA_BASELINES, err);
	AUTO(free) char *why = problems.n
				       ? xstrdup(problems.v[0])
				       : xasprintf("the task of %s is not what it was then", file);
	return err_set(err, ERR_USAGE, 0,
		       "%s/%s, task %s as it was when the rollout began, is missing or no longer "
		       "whole, and %s: bring "
		       "the folder " DATA_TASKS " from where it was made (rollouts pack takes it "
		       "along), or name the benchmark file with --config",
		       s->store.root, snapshot_of(s, missing),
		       s->plan.trials[missing->index].task_id, why);
}

int carried_refuse(const struct store *store, const char *path, struct err *err)
{
	struct stat st = {0};
	int ignored = fstatat(store->root_fd, path, &st, AT_SYMLINK_NOFOLLOW);
	const struct passwd *user = getpwuid(st.st_uid);
	AUTO(free) char *owner = xstrdup(user && !ignored ? user->pw_name : "another");
	const struct passwd *own = getpwuid(geteuid());

	return err_set(
		err, ERR_INFRA, 0,
		"%s/%s belongs to %s (user %u), and you may not write there: sudo chown -R %s %s",
		store->root, path, owner, (unsigned)st.st_uid, own ? own->pw_name : "$(id -u)",
		store->root);
}

/* A worker of ours makes its next attempt in the trial's folder, and takes over an earlier one. Root may do either (rundir_make). */
static int check_rights(const struct session *s, const struct session_work *w, struct err *err)
{
	struct stat st;

	for (size_t i = 0; i < w->n; i++) {
		const struct sched_item *item = &w->items[i];
		const char *run = s->plan.trials[item->index].run_id;
		AUTO(free) char *folder = path_join(DATA_RUNS, run);
		AUTO(free) char *attempts = path_join(folder, RUN_ATTEMPTS);
		AUTO(free) char *agent = datadir_attempt_file(run, item->agent_from, ATTEMPT_AGENT);
		if (fstatat(s->store.root_fd, folder, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (faccessat(s->store.root_fd, folder, W_OK | X_OK, AT_EACCESS) ||
		    (faccessat(s->store.root_fd, attempts, W_OK | X_OK, AT_EACCESS) &&
		     errno == EACCES))
			return carried_refuse(&s->store, folder, err);
		if (item->agent_from && faccessat(s->store.root_fd, agent, R_OK, AT_EACCESS) &&
		    errno == EACCES)
			return carried_refuse(&s->store, folder, err);
	}
	return 0;
}

int carried_prepare(struct session *s, const struct session_work *w, struct err *err)
{
	return check_rights(s, w, err) || restore_snapshots(s, w, err) ? -1 : 0;
}

int carried_settle(const struct store *store, struct err *err)
{
	AUTO(buf) struct buf said = BUF_INIT;
	struct err ignored;
	struct stat st;

	if (fstatat(store->root_fd, DATA_CACHE, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	AUTO(free) char *own = xasprintf("%llu\n", (unsigned long long)st.st_ino);
	if (path_read(store->root_fd, DATA_PLACE, 64, &said, &ignored))
		buf_reset(&said);
	if (!strcmp(said.data, own))
		return 0;
	if (said.len && path_remove_tree(store->root_fd, DATA_BASELINES, err))
		return -1;
	return path_write(store->root_fd, DATA_PLACE, own, strlen(own), 0644, false, err);
}
