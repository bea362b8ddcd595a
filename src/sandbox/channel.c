/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/channel.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/mem.h"
#include "os/fdio.h"

#define ANSWER_MS                                                                                  \
	30000	   /* PID 1 answers within microseconds; a machine that swaps may need longer */
#define END_MS 500 /* until SIGKILL helps */
#define GONE_MS 10000

int channel_open(struct channel *c, int sock_take, const int cancel_fds[2], struct err *err)
{
	c->sock = sock_take;
	c->pidfd = -1;
	memcpy(c->cancel_fds, cancel_fds, sizeof c->cancel_fds);
	if (setsockopt(c->sock, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)))
		return err_set(err, ERR_INFRA, errno, "SO_PASSCRED");
	return 0;
}

int channel_wait(const struct channel *c, int fd, int64_t deadline_ms, struct err *err)
{
	struct pollfd p[3] = {{.fd = fd, .events = POLLIN}};

	for (int i = 0; i < 2; i++)
		p[1 + i] = (struct pollfd){.fd = c->cancel_fds[i], .events = POLLIN};
	for (;;) {
		int n = fd_poll(p, ARRAY_SIZE(p), deadline_ms);
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "poll");
		if (p[1].revents || p[2].revents)
			return err_set(err, ERR_CANCELLED, 0, "stopped on request");
		if (p[0].revents)
			return 0;
		if (n == 0)
			return err_set(err, ERR_LIMIT, 0, "no answer from the sandbox in time");
	}
}

/* The sender's process id, translated by the kernel into our PID name space. */
static pid_t sender(struct msghdr *msg)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h; h = CMSG_NXTHDR(msg, h)) {
		struct ucred cred;
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(h), sizeof cred);
		return cred.pid;
	}
	return 0;
}

static int receive_hello(struct channel *c, struct proto_reply *r, pid_t *pid, struct err *err)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = {.iov_base = r, .iov_len = sizeof *r};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof control};
	ssize_t n;

	do
		n = recvmsg(c->sock, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return err_set(err, ERR_INFRA, EPIPE, "PID 1 of the sandbox did not start");
	if (n != sizeof *r || r->op != PROTO_HELLO || r->status != PROTO_VERSION)
		return err_set(err, ERR_INFRA, 0, "rollouts-init is of another version");
	*pid = sender(&msg);
	return 0;
}

int channel_hello(struct channel *c, int64_t deadline_ms, struct err *err)
{
	struct proto_reply r;
	pid_t pid = 0;

	if (channel_wait(c, c->sock, deadline_ms, err) || receive_hello(c, &r, &pid, err))
		return -1;
	setsockopt(c->sock, SOL_SOCKET, SO_PASSCRED, &(int){0}, sizeof(int));
	c->pid = pid;
	if (pid <= 0 || (c->pidfd = pidfd_open(pid, 0)) < 0)
		return err_set(err, ERR_INFRA, errno, "PID 1 of the sandbox");
	return 0;
}

int channel_send(struct channel *c, const struct proto_request *req, const int *fds, size_t fds_n,
		 struct err *err)
{
	if (c->sock < 0)
		return err_retry(err, 0, "the sandbox has ended");
	return fd_send(c->sock, req, sizeof *req, fds, fds_n, err) < 0 ? -1 : 0;
}

int channel_receive(struct channel *c, struct proto_reply *out, int *fd, struct err *err)
{
	size_t fds_n = fd ? 1 : 0;

	if (fd)
		*fd = -1;
	ssize_t n = fd_recv(c->sock, out, sizeof *out, fd, &fds_n, 0, err);
	if (n == sizeof *out)
		return 0;
	if (n < 0 && err->sys != ECONNRESET)
		return -1;
	err_set(err, ERR_INFRA, EPIPE, "PID 1 of the sandbox is gone");
	err->retry = true;
	return -1;
}

int channel_call(struct channel *c, const struct proto_request *req, int send_fd,
		 struct proto_reply *out, int *fd, struct err *err)
{
	return channel_send(c, req, &send_fd, send_fd >= 0, err) ||
			       channel_answer(c, req, out, fd, err)
		       ? -1
		       : 0;
}

int channel_answer(struct channel *c, const struct proto_request *req, struct proto_reply *out,
		   int *fd, struct err *err)
{
	const int64_t deadline = clock_mono_ms() + ANSWER_MS;

	do {
		if (fd && *fd >= 0)
			close(*fd);
		if (channel_wait(c, c->sock, deadline, err))
			return err->kind == ERR_LIMIT ? err_from_box(err) : -1;
		if (channel_receive(c, out, fd, err))
			return -1;
	} while (out->op != req->op);
	if (!out->error)
		return 0;
	err_set(err, ERR_INFRA, out->error, "%s", req->path);
	return err_from_box(err);
}

int channel_end(struct channel *c, struct err *err)
{
	if (c->sock >= 0)
		close(c->sock);
	c->sock = -1;
	if (c->pidfd < 0)
		return 0;
	struct pollfd p = {.fd = c->pidfd, .events = POLLIN};
	const int waits[] = {END_MS, GONE_MS};
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		const int64_t deadline = clock_mono_ms() + waits[i];
		if (fd_poll(&p, 1, deadline) > 0) {
			close(c->pidfd);
			c->pidfd = -1;
			return 0;
		}
		pidfd_send_signal(c->pidfd, SIGKILL, NULL, 0);
	}
	return err_retry(err, 0,
			 "a process of the sandbox cannot be killed (uninterruptible sleep)");
}
