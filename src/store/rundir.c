// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/rundir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "store/owner.h"

enum {
	RESULT_MAX = 4 << 20,
	WORDS_MAX = 64 << 10,
};

static int make_dir(int dir_fd, const char *path, struct err *err)
{
	if (mkdirat(dir_fd, path, 0700) && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	return 0;
}

static int write_trial(int fd, const struct attempt *a, struct err *err)
{
	AUTO(fd)
	int file = openat(fd, ATTEMPT_TRIAL, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  0644);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = attempt_to_json(a);

	if (file < 0)
		return err_set(err, ERR_INFRA, errno, "create " ATTEMPT_TRIAL);
	json_format(&text, j, false);
	buf_addc(&text, '\n');
	/* Not renamed into place: nobody looks before the worker starts. */
	return path_write_all(file, text.data, text.len, err);
}

static int fill(int fd, const struct attempt *a, struct err *err)
{
	if (make_dir(fd, ATTEMPT_ARTIFACTS, err) || make_dir(fd, ATTEMPT_LOGS, err) ||
	    write_trial(fd, a, err))
		return -1;
	if (a->uid && (fchownat(fd, ATTEMPT_ARTIFACTS, a->uid, a->uid, AT_SYMLINK_NOFOLLOW) ||
		       fchownat(fd, ATTEMPT_LOGS, a->uid, a->uid, AT_SYMLINK_NOFOLLOW) ||
		       fchown(fd, a->uid, a->uid)))
		return err_set(err, ERR_INFRA, errno, "give the run to user %u", (unsigned)a->uid);
	return 0;
}

/* Opened, because the user it belongs to may put something else into its place. */
static int make_own_dir(int root_fd, const char *path, uid_t uid, struct err *err)
{
	if (make_dir(root_fd, path, err))
		return -1;
	int fd = path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd >= 0 && uid && fchown(fd, uid, uid)) {
		err_set(err, ERR_INFRA, errno, "give %s to user %u", path, (unsigned)uid);
		close(fd);
		return -1;
	}
	return fd;
}

/* Everything below DIR_FD/NAME, made by us a moment ago. */
static int give_tree(int dir_fd, const char *name, uid_t uid, struct err *err)
{
	struct stat st;
	int status = 0;

	if (fchownat(dir_fd, name, uid, uid, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, errno, "give %s to user %u", name, (unsigned)uid);
	if (!S_ISDIR(st.st_mode))
		return 0;
	int fd = path_open_beneath(dir_fd, name, O_RDONLY | O_DIRECTORY, 0, err);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; d && !status && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			status = give_tree(fd, e->d_name, uid, err);
	if (d)
		closedir(d);
	return d ? status : -1;
}

/* An attempt whose work is taken over has to be its trial's user's, which it is not where the data folder was carried here. It is
 * copied rather than given away: other names of its files may be of somebody else. */
static int own_attempt(int attempts_fd, const char *name, uid_t uid, struct err *err)
{
	AUTO(free) char *own = xasprintf(".%s.own", name);
	struct stat st;

	if (!uid || fstatat(attempts_fd, name, &st, AT_SYMLINK_NOFOLLOW) || st.st_uid == uid)
		return 0;
	if (path_remove_tree(attempts_fd, own, err) ||
	    path_copy_tree(attempts_fd, name, attempts_fd, own, err) ||
	    give_tree(attempts_fd, own, uid, err))
		return -1;
	if (renameat2(attempts_fd, own, attempts_fd, name, RENAME_EXCHANGE))
		return err_set(err, ERR_INFRA, errno, "rename to %s", name);
	return path_remove_tree(attempts_fd, own, err);
}

int rundir_make(int root_fd, const struct attempt *a, struct err *err)
{
	AUTO(free) char *run = path_join(DATA_RUNS, a->trial.run_id);
	AUTO(free) char *attempts = path_join(run, RUN_ATTEMPTS);
	char number[16];

	/* Every time: whoever began the first attempt may have been killed at any of these steps. */
	AUTO(fd) int run_fd = make_own_dir(root_fd, run, a->uid, err);
	AUTO(fd) int top = run_fd < 0 ? -1 : make_own_dir(root_fd, attempts, a->uid, err);
	if (top < 0 ||
	    (a->agent_from && own_attempt(top, attempt_taken_folder(a, number), a->uid, err)))
		return -1;
	/* A copy that followed links would keep the names of the last attempt from being moved on. */
	int latest = rundir_latest(root_fd, a->trial.run_id);
	if (latest && rundir_lead_to(root_fd, a->trial.run_id, latest, err))
		return -1;
	snprintf(number, sizeof number, "%d", a->number);
	if (mkdirat(top, number, 0700))
		return err_set(err, ERR_INFRA, errno, "make directory %s/%s", attempts, number);
	AUTO(fd) int fd = path_open_beneath(top, number, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	return fill(fd, a, err) ? err_wrap(err, "%s/%s", attempts, number) : 0;
}

static json_t *read_json(int fd, const char *path)
{
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *j = NULL;
	struct err ignored;

	if (path_read_beneath(fd, path, RESULT_MAX, &text, &ignored) ||
	    json_parse(&j, text.data, text.len, path, &ignored))
		return NULL;
	return j;
}

static bool is_of(const struct result *r, const struct planfile *plan, const struct trial *t,
		  int attempt)
{
	return owner_is_of(plan, r->rollout_id) && !strcmp(r->run_id, t->run_id) &&
	       !strcmp(r->key, t->key) && r->attempt == attempt;
}

static void take_result(struct rundir_left *out, json_t *j, const struct planfile *plan,
			const struct trial *t, int attempt)
{
	struct result r;
	struct err ignored;

	result_init(&r);
	if (!result_from_json(&r, j, ATTEMPT_RESULT, &ignored) && is_of(&r, plan, t, attempt)) {
		out->result = json_incref(j);
		out->outcome = r.outcome;
		out->retry = r.retry;
	}
	result_release(&r);
}

void rundir_look(int root_fd, const struct planfile *plan, const struct trial *t, int attempt,
		 struct rundir_left *out)
{
	AUTO(free) char *path = datadir_attempt(t->run_id, attempt);
	struct err ignored;

	*out = (struct rundir_left){0};
	AUTO(fd) int fd = path_open_beneath(root_fd, path, O_PATH | O_DIRECTORY, 0, &ignored);
	if (fd < 0)
		return;
	AUTO(json) json_t *result = read_json(fd, ATTEMPT_RESULT);
	if (result)
		take_result(out, result, plan, t, attempt);
	out->agent_committed = path_exists(fd, ATTEMPT_AGENT);
}

int rundir_last_attempt(int root_fd, const char *run_id)
{
	AUTO(free) char *path = xasprintf(DATA_RUNS "/%s/" RUN_ATTEMPTS, run_id);
	struct err ignored;
	int fd = path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, &ignored);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	int last = 0;

	for (struct dirent *e; d && (e = readdir(d));) {
		long n = strtol(e->d_name, NULL, 10);
		if (n > last && n < INT32_MAX)
			last = (int)n;
	}
	if (d)
		closedir(d);
	return last;
}

int rundir_latest(int root_fd, const char *run_id)
{
	AUTO(free) char *path = xasprintf(DATA_RUNS "/%s/" RUN_LATEST, run_id);
	char target[64] = "";
	int attempt = 0;
	struct err ignored;
	struct stat st;

	if (fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (S_ISLNK(st.st_mode)) {
		if (readlinkat(root_fd, path, target, sizeof target - 1) > 0 &&
		    sscanf(target, RUN_ATTEMPTS "/%d", &attempt) != 1)
			attempt = 0;
		return attempt;
	}
	/* An artifact store may make a link a file that says where it led. */
	if (S_ISREG(st.st_mode)) {
		AUTO(buf) struct buf text = BUF_INIT;
		if (!path_read_beneath(root_fd, path, sizeof target, &text, &ignored) &&
		    sscanf(text.data, RUN_ATTEMPTS "/%d", &attempt) != 1)
			attempt = 0;
		return attempt;
	}
	AUTO(fd) int fd = path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, &ignored);
	AUTO(json) json_t *trial = fd < 0 ? NULL : read_json(fd, ATTEMPT_TRIAL);
	return (int)json_get_int(trial, "number", 0);
}

static bool is_link(int dir_fd, const char *name)
{
	struct stat st;

	return !fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode);
}

int rundir_lead_to(int root_fd, const char *run_id, int attempt, struct err *err)
{
	static const char *const names[] = {ATTEMPT_ARTIFACTS, ATTEMPT_LOGS, ATTEMPT_RESULT,
					    ATTEMPT_EVALUATION, ATTEMPT_SCORING};
	AUTO(free) char *path = path_join(DATA_RUNS, run_id);
	AUTO(free) char *to = xasprintf(RUN_ATTEMPTS "/%d", attempt);
	AUTO(fd) int fd = path_open_beneath(root_fd, path, O_RDONLY | O_DIRECTORY, 0, err);

	if (fd < 0)
		return -1;
	/* Without the attempt, what stands in the link's place is all there is. */
	if (!path_is_dir(fd, to))
		return 0;
	if (!is_link(fd, RUN_LATEST) && path_remove_tree(fd, RUN_LATEST, err))
		return -1;
	if (path_link(fd, to, RUN_LATEST, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *target = path_join(RUN_LATEST, names[i]);
		if (!path_exists(fd, names[i]) || is_link(fd, names[i]))
			continue;
		if (path_remove_tree(fd, names[i], err) || path_link(fd, target, names[i], err))
			return -1;
	}
	return 0;
}

void rundir_last_words(int root_fd, const char *run_id, int attempt, struct buf *out)
{
	AUTO(free) char *path = datadir_attempt_file(run_id, attempt, ATTEMPT_WORKER_LOG);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (path_read_beneath(root_fd, path, WORDS_MAX, &text, &ignored))
		return;
	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	const char *line = strrchr(text.data, '\n');
	buf_adds(out, line ? line + 1 : text.data);
}
