/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A sandbox without namespaces: Landlock holds us and whatever we start, a filter of system calls what we start. What is
 * ours among the processes of the machine is what descends from us: we are a subreaper, so that nothing of it can leave.
 */
#include "init/init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_restrict_self
#define SYS_landlock_restrict_self 446
#endif
#define PROGRAMS_MAX 4
#define OOM_SCORE "500"
#define ROUNDS_MAX 1000 /* of stopping: what still finds new processes then is killed as it comes */

static bool confined, signals_scoped, user_is_shared;
static struct sock_fprog programs[PROGRAMS_MAX];
static size_t programs_n;
static int oom_fd = -1;
static char oom_own[16]; /* our own score */

/* Each is a number of instructions and these. */
static int read_programs(int fd)
{
	struct stat st;

	if (fstat(fd, &st) || st.st_size <= 0)
		return EINVAL;
	const size_t size = (size_t)st.st_size;
	char *at = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0), *end = at + size;
	if (at == MAP_FAILED)
		return errno;
	while (at < end) {
		uint32_t n;
		if (programs_n == PROGRAMS_MAX || (size_t)(end - at) < sizeof n)
			return EINVAL;
		memcpy(&n, at, sizeof n);
		at += sizeof n;
		if (!n || n > BPF_MAXINSNS || (size_t)(end - at) < n * sizeof(struct sock_filter))
			return EINVAL;
		programs[programs_n++] = (struct sock_fprog){.len = (unsigned short)n,
							     .filter = (struct sock_filter *)at};
		at += n * sizeof(struct sock_filter);
	}
	return 0;
}

/* Afterwards nobody may open a file in /proc to write to it. This one is ours only while we are dumpable. */
static void hold_oom_score(void)
{
	prctl(PR_SET_DUMPABLE, 1);
	oom_fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	ssize_t n = oom_fd < 0 ? 0 : read(oom_fd, oom_own, sizeof oom_own - 1);
	oom_own[n > 0 ? n : 0] = '\0';
	prctl(PR_SET_DUMPABLE, 0);
}

/* A command inherits what we have when it is forked. */
void confine_oom_score(bool raised)
{
	const char *score = raised ? OOM_SCORE : oom_own;
	ssize_t ignored = oom_fd < 0 ? 0 : pwrite(oom_fd, score, strlen(score), 0);

	(void)ignored;
}

int confine(const struct proto_request *req, const int fds[PROTO_FDS])
{
	if (confined || getpid() == 1)
		return EALREADY;
	int error = read_programs(fds[1]);
	if (error)
		return error;
	error = file_root(fds[2], req->path);
	if (error)
		return error;
	hold_oom_score();
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    (!(req->flags & PROTO_UNHELD) && syscall(SYS_landlock_restrict_self, fds[0], 0U)))
		return errno;
	confined = true;
	user_is_shared = req->flags & PROTO_SHARED_USER;
	/* Tried, not believed: kill(-1) would else end all that our user has. */
	signals_scoped = kill(getppid(), 0) && errno == EPERM;
	return 0;
}

int confine_command(void)
{
	for (size_t i = 0; i < programs_n; i++)
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &programs[i]))
			return -1;
	return 0;
}

/* Fields 4, 3 and 20 of /proc/PID/stat. */
static bool read_stat(const char *pid, pid_t *parent, char *state, long *threads)
{
	char path[64], buf[1024];

	snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof buf - 1);
	if (fd >= 0)
		close(fd);
	buf[n > 0 ? n : 0] = '\0';
	/* The name, which may hold anything, is behind the last bracket. */
	const char *at = strrchr(buf, ')');
	int its = 0;
	return at &&
	       sscanf(at + 1,
		      " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %ld",
		      state, &its, threads) == 3 &&
	       (*parent = its) >= 0;
}

struct process {
	pid_t pid, parent;
	bool ours, zombie;
};

static struct process *processes;
static size_t processes_n, processes_cap;

static struct process *find(pid_t pid)
{
	for (size_t i = 0; i < processes_n; i++)
		if (processes[i].pid == pid)
			return &processes[i];
	return NULL;
}

static void add(const struct process *p)
{
	if (processes_n == processes_cap) {
		size_t cap = processes_cap ? processes_cap * 2 : 256;
		struct process *more = realloc(processes, cap * sizeof *more);
		if (!more)
			return;
		processes = more;
		processes_cap = cap;
	}
	processes[processes_n++] = *p;
}

/* All whom we may signal: with scoped signals these are ours, else a few more of our user. */
static void list_processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;

	processes_n = 0;
	while (d && (e = readdir(d))) {
		struct process p = {.pid = atoi(e->d_name)};
		char state;
		long threads;
		if (p.pid <= 0 || p.pid == getpid() || kill(p.pid, 0) ||
		    !read_stat(e->d_name, &p.parent, &state, &threads))
			continue;
		p.zombie = state == 'Z' || state == 'X';
		p.ours = p.parent == getpid();
		add(&p);
	}
	if (d)
		closedir(d);
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < processes_n; i++) {
			struct process *p = &processes[i], *parent;
			if (!p->ours && (parent = find(p->parent)) && parent->ours)
				more = p->ours = true;
		}
	}
}

void confine_look(void)
{
	if (confined)
		list_processes();
}

bool confine_is_ours(const char *pid)
{
	const struct process *p;

	if (!confined)
		return strcmp(pid, "1") != 0;
	return (p = find(atoi(pid))) && p->ours && !p->zombie;
}

bool confine_is_on(void)
{
	return confined;
}

/* Signal every process of ours; returns how many were not there before. */
static size_t signal_all(int sig, struct process **seen, size_t *seen_n)
{
	size_t fresh = 0;

	list_processes();
	for (size_t i = 0; i < processes_n; i++) {
		const struct process *p = &processes[i];
		if (!p->ours || p->zombie || kill(p->pid, sig))
			continue;
		bool known = false;
		for (size_t k = 0; k < *seen_n && !known; k++)
			known = (*seen)[k].pid == p->pid;
		if (known)
			continue;
		struct process *more = realloc(*seen, (*seen_n + 1) * sizeof *more);
		if (!more)
			return 0;
		*seen = more;
		(*seen)[(*seen_n)++] = *p;
		fresh++;
	}
	return fresh;
}

/* One by one a fork bomb is not outrun: but stopped processes do not fork, and keep the places that their user's limit
 * leaves to new ones. */
static void kill_one_by_one(void)
{
	struct process *seen = NULL;
	size_t seen_n = 0;

	for (int round = 0; round < ROUNDS_MAX && signal_all(SIGSTOP, &seen, &seen_n); round++)
		;
	seen_n = 0;
	signal_all(SIGKILL, &seen, &seen_n);
	free(seen);
}

void confine_kill_all(void)
{
	if (!confined || signals_scoped)
		kill(-1, SIGKILL);
	else
		kill_one_by_one();
}

/* A limit on processes counts all of a user's. */
uint64_t confine_nproc(uint64_t nproc)
{
	const uid_t uid = getuid();
	DIR *d = nproc && user_is_shared ? opendir("/proc") : NULL;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct stat st;
		pid_t parent;
		char state;
		long threads;
		if (atoi(e->d_name) > 0 && !fstatat(dirfd(d), e->d_name, &st, 0) &&
		    st.st_uid == uid && read_stat(e->d_name, &parent, &state, &threads))
			nproc += (uint64_t)threads;
	}
	if (d)
		closedir(d);
	return nproc;
}
