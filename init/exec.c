/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "init/init.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define SIGNALS_AND_TIMERS 1024
#define MESSAGE_QUEUES (200 << 10) /* bytes: two queues as they are by default */
#define OOM_SCORE "500" /* under memory pressure a command goes before us and before the worker */

static _Noreturn void failed(struct proto_args *args, enum proto_step step)
{
	args->error = errno;
	args->step = step;
	_exit(127);
}

static void set_limit(int what, uint64_t value)
{
	struct rlimit lim;

	if (!value || getrlimit(what, &lim))
		return;
	if (lim.rlim_max != RLIM_INFINITY && value > lim.rlim_max)
		value = lim.rlim_max;
	lim.rlim_cur = lim.rlim_max = value;
	setrlimit(what, &lim);
}

static void set_limits(const struct proto_request *req)
{
	set_limit(RLIMIT_NOFILE, req->nofile);
	set_limit(RLIMIT_NPROC, confine_nproc(req->nproc));
	set_limit(RLIMIT_FSIZE, req->fsize);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	if (req->nproc) { /* All sandboxes of one user share what he may have of these. */
		set_limit(RLIMIT_SIGPENDING, SIGNALS_AND_TIMERS);
		set_limit(RLIMIT_MSGQUEUE, MESSAGE_QUEUES);
	}
}

static int keep_capabilities(uint64_t keep)
{
	struct {
		uint32_t version;
		int pid;
	} head = {0x20080522, 0};
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2] = {{0}};

	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(keep >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap); /* fails when we never had CAP_SETPCAP */
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &head, data))
		return -1;
	for (int i = 0; i < 2; i++) {
		uint32_t mask = (uint32_t)(keep >> 32 * i);
		data[i].effective &= mask;
		data[i].permitted &= mask;
		data[i].inheritable = 0;
	}
	return (int)syscall(SYS_capset, &head, data);
}

static int become(const struct proto_request *req)
{
	if (req->flags & PROTO_SET_USER) {
		gid_t groups[1 + PROTO_GROUPS] = {req->gid};
		size_t n = 1;
		while (n <= req->groups_n && n < PROTO_GROUPS) {
			groups[n] = req->groups[n - 1];
			n++;
		}
		/* A root-like command keeps what `caps` grants; another user loses all by setresuid. */
		if (setgroups(n, groups) || setresgid(req->gid, req->gid, req->gid) ||
		    setresuid(req->uid, req->uid, req->uid))
			return -1;
	}
	if (keep_capabilities(req->caps))
		return -1;
	return req->flags & PROTO_PRIVILEGES ? 0 : prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void raise_oom_score(void)
{
	/* The file belongs to us only while we are dumpable; by now we hold nothing worth reading. */
	prctl(PR_SET_DUMPABLE, 1);
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t ignored = write(fd, OOM_SCORE, strlen(OOM_SCORE));
	(void)ignored;
	close(fd);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig <= 64; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static const char *variable(char *const *env, const char *name, const char *fallback)
{
	size_t len = strlen(name);

	for (; *env; env++)
		if (!strncmp(*env, name, len) && (*env)[len] == '=')
			return *env + len + 1;
	return fallback;
}

/* execvpe by the command's own PATH, which libc would take from ours. */
static void exec_by_path(char *const *argv, char *const *env)
{
	char path[4096];
	int error = ENOENT;

	if (strchr(argv[0], '/')) {
		execve(argv[0], argv, env);
		return;
	}
	for (const char *dir = variable(env, "PATH", "/usr/local/bin:/usr/bin:/bin"); *dir;) {
		int len = (int)strcspn(dir, ":");
		int n = snprintf(path, sizeof path, "%.*s/%s", len, dir, argv[0]);
		if (len > 0 && n < (int)sizeof path) {
			execve(path, argv, env);
			if (errno != ENOENT && errno != ENOTDIR)
				error = errno;
		}
		dir += len + (dir[len] == ':');
	}
	errno = error;
}

/* The strings of the args file, cut into COUNT pointers; NULL-terminated. Moves *AT. */
static char **cut(char **at, const char *end, uint32_t count)
{
	char **v = calloc((size_t)count + 1, sizeof *v);

	for (uint32_t i = 0; v && i < count; i++) {
		size_t len = strnlen(*at, (size_t)(end - *at));
		if (*at + len >= end)
			return NULL;
		v[i] = *at;
		*at += len + 1;
	}
	return v;
}

static struct proto_args *map_args(int fd, size_t *len)
{
	struct stat st;

	if (fstat(fd, &st) || st.st_size <= (off_t)sizeof(struct proto_args))
		_exit(127);
	*len = (size_t)st.st_size;
	void *map = mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		_exit(127);
	return map;
}

static _Noreturn void child(const struct proto_request *req, const int fds[PROTO_FDS])
{
	size_t len;
	struct proto_args *args = map_args(fds[0], &len);
	char *at = (char *)(args + 1), *end = (char *)args + len;
	const char *cwd = at;
	char **head = cut(&at, end, 1);
	char **argv = cut(&at, end, req->argc);
	char **env = cut(&at, end, req->envc);

	errno = EINVAL;
	if (!head || !argv || !env || !argv[0])
		failed(args, PROTO_STEP_SETUP);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[1 + i], i) < 0)
			failed(args, PROTO_STEP_SETUP);
	syscall(SYS_close_range, 3U, ~0U, 0U);
	setsid();
	if (req->flags & PROTO_TERMINAL && ioctl(0, TIOCSCTTY, 0))
		failed(args, PROTO_STEP_SETUP);
	umask(022);
	set_limits(req);
	raise_oom_score();
	if (become(req))
		failed(args, PROTO_STEP_SETUP);
	if (chdir(cwd))
		failed(args, PROTO_STEP_CWD);
	reset_signals();
	if (confine_command() ||
	    (!(req->flags & PROTO_PRIVILEGES) && filter_command(req->flags & PROTO_UNTRACED)))
		failed(args, PROTO_STEP_SETUP);
	exec_by_path(argv, env);
	failed(args, PROTO_STEP_PROGRAM);
}

pid_t exec_start(const struct proto_request *req, const int fds[PROTO_FDS])
{
	for (int i = 0; i < PROTO_FDS; i++)
		if (fds[i] < 3) {
			errno = EBADF;
			return -1;
		}
	confine_oom_score(true);
	pid_t pid = fork();
	if (pid == 0)
		child(req, fds);
	confine_oom_score(false);
	return pid;
}
