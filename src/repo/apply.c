/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/spawn.h"
#include "git/git.h"
#include "repo/repo.h"

enum { TIMES_MAX = 32 << 20 };

static int git_apply(int work_fd, const char *git_dir, bool check, int patch_fd,
		     int64_t deadline_ms, struct buf *said, int *status, struct err *err)
{
	const char *argv[] = {"apply", "--whitespace=nowarn", check ? "--check" : NULL, NULL};
	const char *env[] = {git_dir, "GIT_WORK_TREE=.", NULL};
	struct git_cmd c = {.dir_fd = work_fd,
			    .argv = argv,
			    .env = env,
			    .in_fd = patch_fd,
			    .deadline_ms = deadline_ms};
	if (lseek(patch_fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "rewind the patch");
	return git_run(&c, NULL, said, status, err);
}

static char *reason(const struct buf *said, int status)
{
	char how[48];
	AUTO(free) char *text = git_said(said, 3, false);
	return *text ? STEAL(&text) : xasprintf("git apply: %s", spawn_status_text(status, how));
}

// What is new in the patch and has a namesake in the image's own copy, as nobody tracks it: the patch's is what counts. "
// create mode 100644 PATH" each; a name that git would quote is none of ours.
static int make_room(int work_fd, const char *base, const char *git_dir, int patch_fd,
		     int64_t deadline_ms, struct err *err)
{
	static const char *const argv[] = {"apply", "--summary", NULL};
	const char *env[] = {git_dir, NULL};
	AUTO(free) char *below = path_join(base, BASELINE_BELOW);
	AUTO(fd) int below_fd = open(below, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(buf) struct buf out = BUF_INIT;
	struct git_cmd c = {.dir_fd = work_fd,
			    .argv = argv,
			    .env = env,
			    .in_fd = patch_fd,
			    .max = TIMES_MAX,
			    .deadline_ms = deadline_ms};
	struct err ignored = {0};
	char *save = NULL;
	int status;
	if (below_fd < 0)
		return 0;
	if (lseek(patch_fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "rewind the patch");
	if (git_run(&c, &out, NULL, &status, err) < 0)
		return -1;
	for (char *line = strtok_r(out.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		const char *path = line + strlen(" create mode 100644 ");
		if (strncmp(line, " create mode ", 13) != 0 || strlen(line) < 20 ||
		    !path_is_inside(path))
			continue;
		AUTO(fd) int fd =
			path_open_beneath(below_fd, path, O_PATH | O_NOFOLLOW, 0, &ignored);
		if (fd >= 0 && path_remove_tree(work_fd, path, err) < 0)
			return -1;
	}
	return 0;
}

// Checked first and as a whole: git writes file by file, and a refusal must leave nothing behind.
static int apply(int work_fd, const char *git_dir, int patch_fd, int64_t deadline_ms, char **why,
		 struct err *err)
{
	AUTO(buf) struct buf said = BUF_INIT;
	int status;
	if (git_apply(work_fd, git_dir, true, patch_fd, deadline_ms, &said, &status, err) < 0)
		return -1;
	if (status) {
		*why = reason(&said, status);
		return 0;
	}
	buf_reset(&said);
	if (git_apply(work_fd, git_dir, false, patch_fd, deadline_ms, &said, &status, err) < 0)
		return -1;
	if (status) {
		AUTO(free) char *text = reason(&said, status);
		return err_retry(err, 0, "a checked patch could not be applied: %s", text);
	}
	return 0;
}

int repo_apply(const char *base, const char *work, int patch_fd, int64_t deadline_ms, char **why,
	       struct err *err)
{
	AUTO(free) char *git_dir = xasprintf("GIT_DIR=%s/host.git", base);
	AUTO(fd) int work_fd = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	*why = NULL;
	if (work_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", work);
	if (fstat(patch_fd, &st) < 0)
		return err_set(err, ERR_INFRA, errno, "the patch");
	// git calls an empty patch an error.
	if (st.st_size == 0)
		return 0;
	AUTO(umask) mode_t old = umask(022);
	(void)old;
	if (make_room(work_fd, base, git_dir, patch_fd, deadline_ms, err) < 0)
		return -1;
	return apply(work_fd, git_dir, patch_fd, deadline_ms, why, err);
}

// The folder of PATH by way of no link, and its last name in *NAME; -1: it is not there.
static int open_parent(int work_fd, char *path, const char **name)
{
	char *slash = strrchr(path, '/');
	struct err ignored = {0};
	*name = slash ? slash + 1 : path;
	if (!slash)
		return path_open_beneath(work_fd, ".", O_RDONLY | O_DIRECTORY, 0, &ignored);
	*slash = '\0';
	return path_open_beneath(work_fd, path, O_RDONLY | O_DIRECTORY, 0, &ignored);
}

static void set_time(int work_fd, char *line)
{
	char *rest;
	const char *name;
	struct stat st;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	times[1].tv_sec = strtoll(line, &rest, 10);
	if (*rest != '.')
		return;
	times[1].tv_nsec = strtol(rest + 1, &rest, 10);
	if (*rest != ' ' || times[1].tv_nsec < 0 || times[1].tv_nsec > 999999999)
		return;
	AUTO(fd) int dir = open_parent(work_fd, rest + 1, &name);
	if (dir < 0 || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return;
	// A file system that cannot hold the time keeps its own.
	(void)utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

int repo_apply_times(const char *work, int times_fd, struct err *err)
{
	AUTO(buf) struct buf lines = BUF_INIT;
	AUTO(fd) int work_fd = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (work_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", work);
	if (lseek(times_fd, 0, SEEK_SET) < 0 || path_read_fd(times_fd, TIMES_MAX, &lines, err) < 0)
		return err->kind ? -1 : err_set(err, ERR_INFRA, errno, "read the times of a diff");
	for (char *s = lines.data, *end = s + lines.len, *next; s < end; s = next) {
		next = s + strlen(s) + 1;
		set_time(work_fd, s);
	}
	return 0;
}
