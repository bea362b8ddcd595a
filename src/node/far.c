/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. Two processes: the one that was started pumps bytes between its standard streams and the keeper's socket. The
 * keeper holds everything that has to outlive a connection: the sockets that are mounted in sandboxes, what runs, its event lines.
 * It sends event lines in order, an archive before the line that names it, and goes on only when that is on disk at home; so what home has
 * is told by one number. A keeper that finds `begun` starts nothing and gives out what there is.
 */
#include "node/far.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "node/far-keeper.h"
#include "node/frames.h"
#include "os/fdio.h"
#include "os/spawn.h"

enum { START_MS = 30000, TRY_MS = 50 };

static int connect_line(int dir_fd)
{
	struct err ignored;

	return fd_connect_at(dir_fd, FAR_LINE, SOCK_STREAM, &ignored);
}

/* The keeper, in a session of its own: it outlives the connection. */
static int start_keeper(const struct far_request *q, int dir_fd, struct err *err)
{
	AUTO(fd) int log = openat(dir_fd, "log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (log < 0)
		return err_set(err, ERR_INFRA, errno, "%s/log", q->dir);
	pid_t pid = fork();
	if (pid < 0)
		return err_set(err, ERR_INFRA, errno, "fork");
	if (pid)
		return 0;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	setsid();
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	fd_cloexec_from(3);
	_exit(far_keep(q, dir_fd));
}

static int reach_keeper(const struct far_request *q, int dir_fd, struct err *err)
{
	int64_t end = clock_mono_ms() + START_MS;
	int fd = connect_line(dir_fd);

	if (fd >= 0)
		return fd;
	/* Whoever comes second finds the lock held, and leaves. */
	if (start_keeper(q, dir_fd, err))
		return -1;
	while ((fd = connect_line(dir_fd)) < 0 && clock_mono_ms() < end)
		usleep(TRY_MS * 1000);
	return fd < 0 ? err_set(err, ERR_INFRA, 0, "no keeper answers; see %s/log", q->dir) : fd;
}

/* Bytes from one descriptor to another that takes them; false at their end. */
static bool pass(int from, int to, struct buf *kept)
{
	char block[65536];
	ssize_t n;

	if (!kept->len) {
		n = read(from, block, sizeof block);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		buf_add(kept, block, (size_t)n);
	}
	n = write(to, kept->data, kept->len);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	memmove(kept->data, kept->data + n, kept->len - (size_t)n + 1);
	kept->len -= (size_t)n;
	return true;
}

static void pump(int line)
{
	AUTO(buf) struct buf up = BUF_INIT;
	AUTO(buf) struct buf down = BUF_INIT;

	fd_set_nonblock(line, true);
	for (;;) {
		struct pollfd fds[] = {
			{.fd = down.len ? -1 : 0, .events = POLLIN},
			{.fd = line,
			 .events = (short)((up.len ? 0 : POLLIN) | (down.len ? POLLOUT : 0))},
			{.fd = up.len ? 1 : -1, .events = POLLOUT}};
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			return;
		bool ok = true;
		if (fds[0].revents || (fds[1].revents & POLLOUT))
			ok = pass(0, line, &down);
		if (ok && (fds[2].revents || (!up.len && (fds[1].revents & (POLLIN | POLLHUP)))))
			ok = pass(line, 1, &up);
		if (!ok)
			return;
	}
}

int far_run(const struct far_request *q)
{
	struct err err;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	umask(022);
	if (mkdir(q->dir, 0711) && errno != EEXIST) {
		log_warn("make directory %s: %s", q->dir, strerror(errno));
		return 1;
	}
	AUTO(fd) int dir = open(q->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(fd) int line = dir < 0 ? err_set(&err, ERR_INFRA, errno, "open %s", q->dir)
				    : reach_keeper(q, dir, &err);
	if (line < 0) {
		log_warn("%s", err.msg);
		return 1;
	}
	if (path_write_all(STDOUT_FILENO, FRAMES_GREETING, strlen(FRAMES_GREETING), &err))
		return 0;
	pump(line);
	return 0;
}
