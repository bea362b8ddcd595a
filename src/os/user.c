/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/user.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LAST_USER (INT32_MAX - 1)

/* In a child. The ids may lie outside our user namespace, and the capabilities may be missing one by one. */
static bool try_all(void)
{
	char path[32];
	int fd = memfd_create("owner", MFD_CLOEXEC);

	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return fd >= 0 && !fchown(fd, LAST_USER, LAST_USER) && !fchmod(fd, 0) &&
	       open(path, O_WRONLY | O_CLOEXEC) >= 0 && !setgroups(0, NULL) &&
	       !setresgid(LAST_USER, LAST_USER, LAST_USER) &&
	       !setresuid(LAST_USER, LAST_USER, LAST_USER);
}

bool user_may_change(void)
{
	static enum { UNKNOWN, NO, YES } known;
	int status = 1;

	if (geteuid() != 0)
		return false;
	if (known)
		return known == YES;
	pid_t pid = fork();
	if (pid == 0)
		_exit(try_all() ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return false;
	known = status ? NO : YES;
	return known == YES;
}

int user_become(uid_t uid, struct err *err)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return err_set(err, ERR_INFRA, errno, "become user %u", (unsigned)uid);
	/* Changing users made our /proc files root's, and a user namespace is mapped through them. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
		return err_set(err, ERR_INFRA, errno, "make the process dumpable");
	return 0;
}
