// SPDX-License-Identifier: GPL-3.0-or-later
#include "os/spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"
#include "os/fdio.h"

extern char **environ;

// A descriptor below 3 that belongs elsewhere would be overwritten by an earlier dup2: move it up
// first.
static int out_of_the_way(int fd, int target)
{
	if (fd < 0 || fd > 2 || fd == target)
		return fd;
	return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static int add_stdio(posix_spawn_file_actions_t *fa, int fd, int target)
{
	if (fd < 0)
		return posix_spawn_file_actions_addopen(fa, target, "/dev/null",
							target ? O_WRONLY : O_RDONLY, 0);
	return posix_spawn_file_actions_adddup2(fa, fd, target);
}

static int set_attributes(posix_spawnattr_t *at, bool group)
{
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	sigset_t none, all;
	sigemptyset(&none);
	sigfillset(&all);
	sigdelset(&all, SIGKILL);
	sigdelset(&all, SIGSTOP);
	if (group)
		flags |= POSIX_SPAWN_SETPGROUP;
	int e = posix_spawnattr_setsigmask(at, &none);
	if (!e)
		e = posix_spawnattr_setsigdefault(at, &all);
	if (!e)
		e = posix_spawnattr_setpgroup(at, 0);
	return e ? e : posix_spawnattr_setflags(at, flags);
}

static int add_actions(posix_spawn_file_actions_t *fa, const struct spawn *s, const int stdio[3])
{
	int e = 0;
	if (s->dir_fd != AT_FDCWD)
		e = posix_spawn_file_actions_addfchdir_np(fa, s->dir_fd);
	for (int i = 0; !e && i < 3; i++)
		e = add_stdio(fa, stdio[i], i);
	for (size_t i = 0; !e && i < s->more_n; i++)
		e = posix_spawn_file_actions_adddup2(fa, s->more[i], 3 + (int)i);
	return e ? e : posix_spawn_file_actions_addclosefrom_np(fa, 3 + (int)s->more_n);
}

static int spawn_with(pid_t *pid, const struct spawn *s, const int stdio[3], bool group)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int e = posix_spawn_file_actions_init(&fa);
	if (e)
		return e;
	e = posix_spawnattr_init(&at);
	if (e) {
		posix_spawn_file_actions_destroy(&fa);
		return e;
	}
	e = add_actions(&fa, s, stdio);
	if (!e)
		e = set_attributes(&at, group);
	if (!e)
		e = posix_spawnp(pid, s->argv[0], &fa, &at, (char *const *)s->argv,
				 s->env ? (char *const *)s->env : environ);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	return e;
}

static int start_plain(struct child *out, const struct spawn *s, bool group, struct err *err)
{
	int given[3] = {s->in, s->out, s->err}, stdio[3];
	for (int i = 0; i < 3; i++)
		stdio[i] = out_of_the_way(given[i], i);
	pid_t pid = 0;
	int e = spawn_with(&pid, s, stdio, group);
	for (int i = 0; i < 3; i++)
		if (stdio[i] != given[i])
			close(stdio[i]);
	if (e)
		return err_set(err, ERR_INFRA, e, "start %s", s->argv[0]);
	out->pid = pid;
	out->pidfd = pidfd_open(pid, 0);
	if (out->pidfd < 0) {
		e = errno;
		spawn_kill(out, group);
		return err_set(err, ERR_INFRA, e, "pidfd_open");
	}
	return 0;
}

/* Moved up, out of the way of each other's places; duplicates are close-on-exec. */
int spawn_start(struct child *out, const struct spawn *s, bool group, struct err *err)
{
	int high[SPAWN_MORE], e = 0;
	struct spawn moved = *s;
	size_t n = 0;

	if (!s->more_n)
		return start_plain(out, s, group, err);
	if (s->more_n > SPAWN_MORE)
		bug("spawn: too many descriptors");
	for (; n < s->more_n; n++) {
		high[n] = fcntl(s->more[n], F_DUPFD_CLOEXEC, 3 + SPAWN_MORE);
		if (high[n] < 0) {
			e = err_set(err, ERR_INFRA, errno, "start %s", s->argv[0]);
			break;
		}
	}
	moved.more = high;
	if (!e)
		e = start_plain(out, &moved, group, err);
	while (n--)
		close(high[n]);
	return e;
}

static void reap(struct child *c, int *status)
{
	int st = 0;
	while (waitpid(c->pid, &st, 0) < 0 && errno == EINTR)
		;
	if (c->pidfd >= 0)
		close(c->pidfd);
	c->pid = 0;
	c->pidfd = -1;
	if (status)
		*status = st;
}

int spawn_wait(struct child *c, int64_t deadline_ms, int *status, struct err *err)
{
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	int n = fd_poll(&p, 1, deadline_ms);
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "wait for a child");
	if (n == 0)
		return err_set(err, ERR_LIMIT, 0, "time limit reached");
	reap(c, status);
	return 0;
}

void spawn_kill(struct child *c, bool group)
{
	if (c->pid <= 0)
		return;
	// Not reaped yet, so neither the pid nor the group's number can belong to somebody else.
	if (group)
		kill(-c->pid, SIGKILL);
	kill(c->pid, SIGKILL);
	reap(c, NULL);
}

// A memory file instead of a pipe: nothing to feed, no SIGPIPE, no deadlock with a child
// that writes first.
static int input_file(const void *input, size_t len, struct err *err)
{
	AUTO(fd) int fd = memfd_create("input", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	if (path_write_all(fd, input, len, err) < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "lseek");
	return fd_steal(&fd);
}

struct capture {
	int fd; /* read end, or -1 when at its end or not wanted */
	size_t max;
	struct buf *buf;
};

static void capture_read(struct capture *c)
{
	char piece[16384];
	ssize_t n;
	while ((n = read(c->fd, piece, sizeof piece)) > 0) {
		size_t room = c->buf->len < c->max ? c->max - c->buf->len : 0;
		buf_add(c->buf, piece, (size_t)n < room ? (size_t)n : room);
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close(c->fd);
		c->fd = -1;
	}
}

// Ends with the child, not with its pipes: a grandchild may hold them open for ever.
static int capture_until_end(struct child *c, struct capture cap[2], int64_t deadline_ms,
			     struct err *err)
{
	for (bool ended = false; !ended;) {
		struct pollfd p[3] = {{.fd = c->pidfd, .events = POLLIN},
				      {.fd = cap[0].fd, .events = POLLIN},
				      {.fd = cap[1].fd, .events = POLLIN}};
		int n = fd_poll(p, 3, deadline_ms);
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "poll");
		if (n == 0)
			return err_set(err, ERR_LIMIT, 0, "time limit reached");
		ended = p[0].revents;
		for (int i = 0; i < 2; i++)
			if (cap[i].fd >= 0 && (ended || p[i + 1].revents))
				capture_read(&cap[i]);
	}
	return 0;
}

static int capture_open(struct capture *c, struct buf *buf, size_t max, int *child_end,
			struct err *err)
{
	*c = (struct capture){.fd = -1, .max = max, .buf = buf};
	if (!buf)
		return 0;
	int p[2];
	if (fd_pipe(p, err) < 0)
		return -1;
	fd_set_nonblock(p[0], true);
	c->fd = p[0];
	*child_end = p[1];
	return 0;
}

static int run_captured(const struct spawn *s, struct capture cap[2], int64_t deadline_ms,
			int *status, struct err *err)
{
	AUTO(fd) int out_end = -1;
	AUTO(fd) int err_end = -1;
	if (capture_open(&cap[0], cap[0].buf, cap[0].max, &out_end, err) < 0 ||
	    capture_open(&cap[1], cap[1].buf, cap[1].max, &err_end, err) < 0)
		return -1;
	struct spawn with = *s;
	if (out_end >= 0)
		with.out = out_end;
	if (err_end >= 0)
		with.err = err_end;
	struct child c;
	if (spawn_start(&c, &with, true, err) < 0)
		return -1;
	auto_fd(&out_end);
	auto_fd(&err_end);
	out_end = err_end = -1;
	if (capture_until_end(&c, cap, deadline_ms, err) < 0) {
		spawn_kill(&c, true);
		return err_wrap(err, "%s", s->argv[0]);
	}
	kill(-c.pid, SIGKILL);
	reap(&c, status);
	return 0;
}

int spawn_run(const struct spawn *s, const void *input, size_t input_len, size_t max,
	      int64_t deadline_ms, struct buf *out, struct buf *err_text, int *status,
	      struct err *err)
{
	struct spawn with = *s;
	AUTO(fd) int in = -1;
	if (input) {
		in = input_file(input, input_len, err);
		if (in < 0)
			return -1;
		with.in = in;
	}
	struct capture cap[2] = {{.fd = -1, .max = max, .buf = out},
				 {.fd = -1, .max = max, .buf = err_text}};
	int rc = run_captured(&with, cap, deadline_ms, status, err);
	auto_fd(&cap[0].fd);
	auto_fd(&cap[1].fd);
	return rc;
}

const char *spawn_status_text(int status, char buf[48])
{
	if (WIFEXITED(status)) {
		snprintf(buf, 48, "exit status %d", WEXITSTATUS(status));
	} else if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));
		if (name)
			snprintf(buf, 48, "killed by SIG%s", name);
		else
			snprintf(buf, 48, "killed by signal %d", WTERMSIG(status));
	} else {
		snprintf(buf, 48, "wait status 0x%x", (unsigned)status);
	}
	return buf;
}
