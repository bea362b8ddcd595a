// SPDX-License-Identifier: GPL-3.0-or-later
#include "os/fdio.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"

enum { FDS_MAX = 64, BACKLOG = 1024 };

int fd_pipe(int fds[2], struct err *err)
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_set(err, ERR_INFRA, errno, "pipe");
	return 0;
}

int fd_socketpair_seq(int fds[2], struct err *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return err_set(err, ERR_INFRA, errno, "socketpair");
	return 0;
}

void fd_set_cloexec(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFD);
	if (flags >= 0)
		fcntl(fd, F_SETFD, on ? flags | FD_CLOEXEC : flags & ~FD_CLOEXEC);
}

void fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags >= 0)
		fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

void fd_cloexec_from(int low)
{
	if (close_range((unsigned)low, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	long max = sysconf(_SC_OPEN_MAX);
	for (int fd = low; fd < max; fd++)
		fd_set_cloexec(fd, true);
}

int fd_poll(struct pollfd *p, nfds_t n, int64_t deadline_ms)
{
	for (;;) {
		int wait_ms = clock_wait_ms(deadline_ms), ready = poll(p, n, wait_ms);
		if (ready > 0 || (ready < 0 && errno != EINTR))
			return ready;
		if (deadline_ms && clock_mono_ms() >= deadline_ms)
			return 0;
	}
}

union control {
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int fd_send(int sock, const void *data, size_t n, const int *fds, size_t fds_n, struct err *err)
{
	union control control = {0};
	struct iovec iov = {.iov_base = (void *)data, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (fds_n > FDS_MAX)
		bug("fd_send: %zu descriptors", fds_n);
	if (fds_n) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(fds_n * sizeof *fds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(fds_n * sizeof *fds);
		memcpy(CMSG_DATA(c), fds, fds_n * sizeof *fds);
	}
	ssize_t sent;
	while ((sent = sendmsg(sock, &msg, MSG_NOSIGNAL)) < 0 && errno == EINTR)
		;
	if (sent < 0)
		return err_set(err, ERR_INFRA, errno, "send on a socket");
	return (int)sent;
}

static size_t take_fds(struct msghdr *msg, int *fds, size_t max)
{
	size_t got = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			if (got < max)
				fds[got++] = fd;
			else
				close(fd);
		}
	}
	return got;
}

static int wait_readable(int fd, int64_t deadline_ms, struct err *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n = fd_poll(&p, 1, deadline_ms);
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "poll");
	if (n == 0)
		return err_set(err, ERR_LIMIT, 0, "time limit reached");
	return 0;
}

ssize_t fd_recv(int sock, void *data, size_t max, int *fds, size_t *fds_n, int64_t deadline_ms,
		struct err *err)
{
	union control control = {0};
	size_t room = fds && fds_n ? *fds_n : 0;
	if (room > FDS_MAX)
		room = FDS_MAX;
	struct iovec iov = {.iov_base = data, .iov_len = max};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;
	if (wait_readable(sock, deadline_ms, err) < 0)
		return -1;
	do {
		msg.msg_control = room ? control.bytes : NULL;
		// CMSG_SPACE rounds up, and the kernel would put one more descriptor in the
		// padding.
		msg.msg_controllen = room ? CMSG_LEN(room * sizeof *fds) : 0;
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "receive on a socket");
	size_t got = room ? take_fds(&msg, fds, room) : 0;
	if (fds_n)
		*fds_n = got;
	return n;
}

static bool lock_is_current(int fd, int dir_fd, const char *path)
{
	struct stat a, b;
	return fstat(fd, &a) == 0 && fstatat(dir_fd, path, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// flock has no time limit of its own: try, and back off up to 50 ms.
static int lock_until(int fd, const char *path, int64_t deadline_ms, struct err *err)
{
	struct timespec pause = {.tv_nsec = 1000000};
	int op = deadline_ms ? LOCK_EX | LOCK_NB : LOCK_EX;
	while (flock(fd, op) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(err, ERR_INFRA, errno, "lock %s", path);
		if (deadline_ms && clock_mono_ms() >= deadline_ms)
			return err_set(err, ERR_LIMIT, 0, "%s is locked by another process", path);
		if (errno == EWOULDBLOCK)
			nanosleep(&pause, NULL);
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
	return 0;
}

int fd_lock(int dir_fd, const char *path, int64_t deadline_ms, struct err *err)
{
	for (;;) {
		AUTO(fd)
		int fd = openat(dir_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		if (fd < 0)
			return err_set(err, ERR_INFRA, errno, "open %s", path);
		if (lock_until(fd, path, deadline_ms, err) < 0)
			return -1;
		// The holder before us may have removed the file: then our lock excludes nobody.
		if (lock_is_current(fd, dir_fd, path))
			return fd_steal(&fd);
	}
}

int fd_listen_at(int dir_fd, const char *name, int type, mode_t mode, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	AUTO(fd) int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	/* Named through its folder's descriptor: an address has room for 108 bytes. */
	snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s", dir_fd, name);
	if (unlinkat(dir_fd, name, 0) && errno != ENOENT)
		return err_set(err, ERR_INFRA, errno, "remove an old %s", name);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) ||
	    fchmodat(dir_fd, name, mode, 0) || listen(fd, BACKLOG))
		return err_set(err, ERR_INFRA, errno, "make the socket %s", name);
	return fd_steal(&fd);
}

int fd_connect_at(int dir_fd, const char *path, int type, struct err *err)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	AUTO(fd) int at = openat(dir_fd, path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	AUTO(fd) int fd = at < 0 ? -1 : socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d", at);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof to))
		return err_retry(err, errno, "connect to %s", path);
	return fd_steal(&fd);
}
