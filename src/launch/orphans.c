// SPDX-License-Identifier: GPL-3.0-or-later
#include "launch/orphans.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"

enum {
	PATIENCE_MS = 15000, /* ending a sandbox in order takes a moment */
	KILLED_MS = 5000,
};

#define WORKER "rollouts-trial"

/* A script has its interpreter first: the name may be any of the arguments but the last. */
static bool is_worker_of(const char *args, size_t n, const char *prefix)
{
	bool named = false;

	for (const char *arg = args; arg < args + n; arg += strlen(arg) + 1) {
		if (named)
			return !strncmp(arg, prefix, strlen(prefix));
		named = !strcmp(path_base(arg), WORKER);
	}
	return false;
}

static bool works_in(const char *pid, const struct stat *root)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%.16s/cwd", pid);
	return !stat(path, &st) && st.st_dev == root->st_dev && st.st_ino == root->st_ino;
}

/* An fd on the process, or -1 when it is none of ours. */
static int open_orphan(const char *pid, const struct stat *root, const char *prefix)
{
	char path[64], args[4096 + 1];
	AUTO(fd) int pidfd = pidfd_open((pid_t)strtol(pid, NULL, 10), 0);

	if (pidfd < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/%.16s/cmdline", pid);
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, args, sizeof args - 1) : 0;
	if (n <= 0)
		return -1;
	args[n] = '\0';
	if (!is_worker_of(args, (size_t)n, prefix) || !works_in(pid, root))
		return -1;
	return fd_steal(&pidfd);
}

static bool ends_within(int pidfd, int64_t ms)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	int64_t until = clock_mono_ms() + ms, left;

	while ((left = until - clock_mono_ms()) > 0)
		if (poll(&p, 1, (int)left) > 0)
			return true;
	return false;
}

static int end(int pidfd, const char *pid, struct err *err)
{
	pidfd_send_signal(pidfd, SIGTERM, NULL, 0);
	if (ends_within(pidfd, clock_grace_ms(PATIENCE_MS)))
		return 0;
	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
		return err_set(err, ERR_INFRA, errno, "process %s, a worker of an earlier run",
			       pid);
	if (!ends_within(pidfd, KILLED_MS))
		return err_set(err, ERR_INFRA, 0,
			       "process %s, a worker of an earlier run, does not end", pid);
	return 0;
}

int orphans_end(int root_fd, const char *prefix, struct err *err)
{
	struct stat root;
	DIR *proc = opendir("/proc");
	int status = 0;

	if (!proc || fstat(root_fd, &root)) {
		status = err_set(err, ERR_INFRA, errno, "look for workers of an earlier run");
		if (proc)
			closedir(proc);
		return status;
	}
	for (struct dirent *e; !status && (e = readdir(proc));) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		AUTO(fd) int pidfd = open_orphan(e->d_name, &root, prefix);
		if (pidfd >= 0)
			status = end(pidfd, e->d_name, err);
	}
	closedir(proc);
	return status;
}
