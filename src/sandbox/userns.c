/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/userns.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "sandbox/refusal.h"

static int write_proc(const char *pid, const char *file, const char *text, struct err *err)
{
	AUTO(free) char *path = xasprintf("/proc/%s/%s", pid, file);
	AUTO(fd) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		return err_set(err, ERR_INFRA, errno, "write %s", path);
	return 0;
}

static int write_map(const char *pid, const char *file, unsigned inside, unsigned outside,
		     struct err *err)
{
	char line[48];

	snprintf(line, sizeof line, "%u %u 1", inside, outside);
	return write_proc(pid, file, line, err);
}

/* In the new namespace: our user and group are its root. */
static int map_self(uid_t uid, gid_t gid, struct err *err)
{
	/* After a change of user /proc/self belongs to root unless we are dumpable. */
	prctl(PR_SET_DUMPABLE, 1);
	if (write_proc("self", "setgroups", "deny", err) ||
	    write_map("self", "uid_map", 0, uid, err) ||
	    write_map("self", "gid_map", 0, gid, err)) {
		err_wrap(err, "cannot use a user namespace");
		return refusal_explain_mapping(uid, err);
	}
	return 0;
}

static int no_namespace(struct err *err)
{
	err_set(err, ERR_INFRA, errno, "cannot make a user namespace");
	return refusal_explain(err);
}

int userns_enter(int extra, struct err *err)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	return unshare(CLONE_NEWUSER | extra) ? no_namespace(err) : map_self(uid, gid, err);
}

int userns_fork(pid_t *pid, struct err *err)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();

	/* Not fork() and unshare(): only a child is in a new PID namespace, and one process is enough. */
	*pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, NULL, NULL, 0);
	if (*pid < 0)
		return no_namespace(err);
	return *pid ? 0 : map_self(uid, gid, err);
}

/* A process that only holds a new user namespace until it is killed. */
static pid_t namespace_holder(void)
{
	int ready[2];
	char c;

	if (pipe2(ready, O_CLOEXEC))
		return -1;
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWUSER))
			_exit(1);
		close(ready[0]);
		if (write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	ssize_t n = read(ready[0], &c, 1);
	close(ready[0]);
	if (pid > 0 && n != 1) {
		waitpid(pid, NULL, 0);
		errno = EPERM;
		return -1;
	}
	return pid;
}

int userns_mapping(uid_t from_uid, uid_t to_uid, gid_t from_gid, gid_t to_gid, struct err *err)
{
	char pid_text[16], ns[48];
	int fd = -1;
	pid_t pid = namespace_holder();

	if (pid < 0)
		return err_set(err, ERR_INFRA, errno, "make a user namespace");
	snprintf(pid_text, sizeof pid_text, "%d", pid);
	snprintf(ns, sizeof ns, "/proc/%d/ns/user", pid);
	if (!write_map(pid_text, "uid_map", from_uid, to_uid, err) &&
	    !write_map(pid_text, "gid_map", from_gid, to_gid, err)) {
		fd = open(ns, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			err_set(err, ERR_INFRA, errno, "open %s", ns);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return fd;
}

/* The lines of the map of our own namespace, each inside id mapped to itself. */
static int same_ids(const char *file, struct buf *out, struct err *err)
{
	unsigned inside, count;
	FILE *f = fopen(file, "re");

	if (!f)
		return err_set(err, ERR_INFRA, errno, "open %s", file);
	while (fscanf(f, "%u %*u %u", &inside, &count) == 2)
		buf_addf(out, "%u %u %u\n", inside, inside, count);
	fclose(f);
	return 0;
}

/* In a child: only a process of the namespace above, with its inherited, may map more than one id. */
static int map_parent(const char *pid, int begin, struct err *err)
{
	AUTO(buf) struct buf uids = BUF_INIT, gids = BUF_INIT;
	char c;

	if (same_ids("/proc/self/uid_map", &uids, err) ||
	    same_ids("/proc/self/gid_map", &gids, err))
		return -1;
	if (read(begin, &c, 1) != 1)
		return err_set(err, ERR_INFRA, errno, "cannot make a user namespace");
	return write_proc(pid, "uid_map", uids.data, err) ||
			       write_proc(pid, "gid_map", gids.data, err)
		       ? -1
		       : 0;
}

int userns_enter_with_mounts(struct err *err)
{
	AUTO(free) char *pid_text = xasprintf("%d", (int)getpid());
	int begin[2], status = 0;

	if (pipe2(begin, O_CLOEXEC))
		return err_set(err, ERR_INFRA, errno, "make a pipe");
	pid_t pid = fork();
	if (pid == 0) {
		close(begin[1]);
		_exit(map_parent(pid_text, begin[0], err) ? err->sys ? err->sys : EPERM : 0);
	}
	close(begin[0]);
	AUTO(fd) int go = begin[1];
	int rc = pid < 0				? err_set(err, ERR_INFRA, errno, "fork")
		 : unshare(CLONE_NEWUSER | CLONE_NEWNS) ? no_namespace(err)
							: 0;
	if (!rc && write(go, "x", 1) != 1)
		rc = err_set(err, ERR_INFRA, errno, "write to a pipe");
	close(fd_steal(&go));
	if (pid > 0 && waitpid(pid, &status, 0) == pid && !rc && status) {
		err_set(err, ERR_INFRA, WEXITSTATUS(status), "cannot use a user namespace");
		rc = refusal_explain_mapping(0, err);
	}
	return rc;
}
