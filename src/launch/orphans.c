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
#include "base/strv.h"

enum {
	PATIENCE_MS = 15000, /* ending a sandbox in order takes a moment */
	KILLED_MS = 5000,
};

#define WORKER "rollouts-trial"

/* The attempt's folder of a worker's command line, NULL of any other. A script has its interpreter first: the
 * worker's name may be any of the arguments but the last. */
static const char *attempt_of(const char *args, size_t n)
{
	bool named = false;

	for (const char *arg = args; arg < args + n; arg += strlen(arg) + 1) {
		if (named)
			return arg;
		named = !strcmp(path_base(arg), WORKER);
	}
	return NULL;
}

/* False as well where we may not look: such a process is another user's, whose files are not ours to remove. */
static bool works_in(const char *pid, const struct stat *root)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof path, "/proc/%.16s/cwd", pid);
	return !stat(path, &st) && st.st_dev == root->st_dev && st.st_ino == root->st_ino;
}

struct found {
	int pidfd; /* of the process, so that its number cannot come to mean another */
	const char *pid, *attempt;
};

/* Call FN for each worker that works below ROOT_FD. */
static int each(int root_fd, int (*fn)(void *arg, const struct found *f, struct err *err),
		void *arg, struct err *err)
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
		char path[64], args[4096 + 1];
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		AUTO(fd) int pidfd = pidfd_open((pid_t)strtol(e->d_name, NULL, 10), 0);
		snprintf(path, sizeof path, "/proc/%.16s/cmdline", e->d_name);
		AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = pidfd >= 0 && fd >= 0 ? read(fd, args, sizeof args - 1) : 0;
		if (n <= 0)
			continue;
		args[n] = '\0';
		const char *attempt = attempt_of(args, (size_t)n);
		if (attempt && works_in(e->d_name, &root))
			status = fn(arg, &(struct found){pidfd, e->d_name, attempt}, err);
	}
	closedir(proc);
	return status;
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

static int end_one(void *prefix, const struct found *f, struct err *err)
{
	if (strncmp(f->attempt, prefix, strlen(prefix)))
		return 0;
	return end(f->pidfd, f->pid, err);
}

int orphans_end(int root_fd, const char *prefix, struct err *err)
{
	return each(root_fd, end_one, (char *)prefix, err);
}

static int list_one(void *out, const struct found *f, struct err *err)
{
	strv_push(out, f->attempt);
	return 0;
}

int orphans_list(struct strv *out, int root_fd, struct err *err)
{
	return each(root_fd, list_one, out, err);
}
