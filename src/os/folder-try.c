/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/folder-try.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/spawn.h"

#define SCRIPT "#!/bin/sh\nexit 0\n"
#define PATIENCE_MS 20000

static int try_names(int fd, struct err *err)
{
	struct stat st;

	if (symlinkat("run", fd, "link"))
		return err_set(err, ERR_INFRA, errno, "no symbolic link can be made");
	if (!fstatat(fd, "LINK", &st, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, 0, "names that differ by case only are one");
	return 0;
}

static int try_file(int fd, struct err *err)
{
	AUTO(fd) int file = openat(fd, "new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

	if (file < 0 || path_write_all(file, SCRIPT, strlen(SCRIPT), err))
		return err_set(err, ERR_INFRA, errno, "no file can be written");
	if (flock(file, LOCK_EX | LOCK_NB) || fsync(file) || renameat(fd, "new", fd, "run"))
		return err_set(err, ERR_INFRA, errno, "no file can be locked, synced and renamed");
	return 0;
}

static int try_running(int fd, struct err *err)
{
	static const char *const argv[] = {"./run", NULL};
	const struct spawn s = {.argv = argv, .dir_fd = fd, .in = -1, .out = -1, .err = -1};
	struct err why;
	int status = 0;

	if (spawn_run(&s, NULL, 0, 0, clock_mono_ms() + PATIENCE_MS, NULL, NULL, &status, &why) ||
	    status)
		return err_set(err, ERR_INFRA, 0, "no file in it can be run (mounted noexec?)");
	return 0;
}

int folder_try(int dir_fd, struct err *err)
{
	AUTO(free) char *name = xasprintf(".rollouts-try-%d", (int)getpid());
	struct err ignored;

	if (mkdirat(dir_fd, name, 0700))
		return err_set(err, ERR_INFRA, errno, "no folder can be made");
	AUTO(fd) int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int rc = fd < 0 ? err_set(err, ERR_INFRA, errno, "no folder can be opened")
		 : try_file(fd, err) || try_names(fd, err) || try_running(fd, err) ? -1
										   : 0;
	if (path_remove_tree(dir_fd, name, &ignored) && !rc)
		return err_set(err, ERR_INFRA, 0, "%s", ignored.msg);
	return rc;
}
