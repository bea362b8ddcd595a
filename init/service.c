/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The entry point of an image. A process of ours, its keeper, starts it and is its reaper of last resort, so that whatever
 * it starts and abandons stays below the keeper: that is how its processes are known among others of the same user, and
 * outlive the sweep that ends a command. Nothing that others started can get there.
 */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define SEEN_MAX 8192
#define TREE_ROUNDS 1000

static pid_t keeper; /* 0: none, or it is gone */
static int from_keeper = -1;
static bool started, ready;

static _Noreturn void keep(const struct proto_request *req, const int fds[PROTO_FDS], int to)
{
	pid_t entry, pid;
	int status;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	entry = exec_start(req, fds);
	for (unsigned fd = 3; fd < 1024; fd++)
		if ((int)fd != to)
			close((int)fd);
	if (entry < 0)
		_exit(1);
	for (;;) {
		pid = waitpid(-1, &status, 0);
		if (pid < 0 && errno == ECHILD)
			_exit(0);
		if (pid == entry && write(to, &status, sizeof status) < 0)
			_exit(1);
	}
}

int service_start(const struct proto_request *req, const int fds[PROTO_FDS])
{
	int ends[2];

	if (started)
		return EBUSY;
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return errno;
	pid_t pid = fork();
	if (pid == 0)
		keep(req, fds, ends[1]);
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return errno;
	}
	started = true;
	keeper = pid;
	from_keeper = ends[0];
	return 0;
}

void service_reaped(pid_t pid)
{
	if (pid == keeper)
		keeper = 0;
}

void service_is_ready(void)
{
	ready = true;
}

void service_tell(struct proto_reply *out)
{
	static bool ended;
	static int status;

	if (started && !ended)
		ended = read(from_keeper, &status, sizeof status) == (ssize_t)sizeof status;
	if (started && !ended && !keeper) {
		ended = true;
		status = SIGKILL;
	}
	out->status = status;
	out->processes = !started ? PROTO_SERVICE_NONE
			 : ended  ? PROTO_SERVICE_ENDED
			 : ready  ? PROTO_SERVICE_READY
				  : PROTO_SERVICE_STARTING;
}

bool service_runs(void)
{
	return keeper > 0;
}

struct seen {
	pid_t pid, parent;
	bool spared, dead;
};

/* State and parent, from behind the name, which may hold anything. */
static bool look(struct seen *out, const char *name)
{
	char path[64], text[1024];

	snprintf(path, sizeof path, "/proc/%.20s/stat", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	const char *at = strrchr(text, ')');
	if (!at || strlen(at) < 5)
		return false;
	out->pid = (pid_t)strtol(name, NULL, 10);
	out->dead = at[2] == 'Z' || at[2] == 'X';
	out->parent = (pid_t)strtol(at + 4, NULL, 10);
	out->spared = out->pid == 1 || out->pid == keeper;
	return true;
}

bool service_is_alive(const char *name)
{
	struct seen s;

	return look(&s, name) && !s.dead;
}

static bool parent_is_spared(const struct seen *all, size_t n, pid_t parent)
{
	for (size_t i = 0; i < n && parent != 1; i++)
		if (all[i].pid == parent)
			return all[i].spared;
	return false;
}

int service_kill_others(void)
{
	static struct seen all[SEEN_MAX];
	DIR *d = opendir("/proc");
	size_t n = 0;
	int killed = 0;

	for (struct dirent *e; d && n < SEEN_MAX && (e = readdir(d));)
		if (*e->d_name >= '1' && *e->d_name <= '9')
			n += look(&all[n], e->d_name);
	if (d)
		closedir(d);
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < n; i++)
			if (!all[i].spared && parent_is_spared(all, n, all[i].parent))
				all[i].spared = more = true;
	}
	for (size_t i = 0; i < n; i++)
		if (!all[i].spared && !all[i].dead && !kill(all[i].pid, SIGKILL))
			killed++;
	return killed;
}

/* Marks as spared what descends from ROOT, itself included. */
static size_t mark_tree(struct seen *all, size_t size, pid_t root)
{
	DIR *d = opendir("/proc");
	size_t n = 0;

	for (struct dirent *e; d && n < size && (e = readdir(d));)
		if (*e->d_name >= '1' && *e->d_name <= '9')
			n += look(&all[n], e->d_name);
	if (d)
		closedir(d);
	for (size_t i = 0; i < n; i++)
		all[i].spared = all[i].pid == root;
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < n; i++)
			if (!all[i].spared && parent_is_spared(all, n, all[i].parent))
				all[i].spared = more = true;
	}
	return n;
}

void service_kill_tree(pid_t root)
{
	static struct seen all[SEEN_MAX];
	size_t before = 0, n = 0;

	for (int round = 0; round < TREE_ROUNDS; round++) {
		size_t stopped = 0;
		n = mark_tree(all, SEEN_MAX, root);
		for (size_t i = 0; i < n; i++)
			if (all[i].spared && !all[i].dead && !kill(all[i].pid, SIGSTOP))
				stopped++;
		if (round && stopped <= before)
			break;
		before = stopped;
	}
	for (size_t i = 0; i < n; i++)
		if (all[i].spared && !all[i].dead)
			kill(all[i].pid, SIGKILL);
	kill(root, SIGKILL);
	/* Whoever looks next shall not meet them any more. */
	for (int round = 0; round < TREE_ROUNDS; round++) {
		bool any = false;
		for (size_t i = 0; i < n && !any; i++) {
			char name[24];
			struct seen now;
			snprintf(name, sizeof name, "%d", (int)all[i].pid);
			any = all[i].spared && look(&now, name) && !now.dead;
		}
		if (!any)
			break;
		usleep(1000);
	}
}
