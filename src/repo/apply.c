/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/spawn.h"
#include "git/git.h"
#include "repo/repo.h"

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
	return apply(work_fd, git_dir, patch_fd, deadline_ms, why, err);
}
