/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rollouts-init -- PID 1 of every sandbox.
 *
 * Theory of operation
 *
 * A worker outside talks to this program over one control socket, either inherited (`rollouts-init fd:3`)
 * or connected to (`rollouts-init /path/ctl.sock`). It starts one foreground command at a time, reaps
 * whatever is orphaned to it, writes and opens files, counts memory, and forwards one loopback port to a
 * unix socket. All of that happens in one thread around one poll(): a helper process of ours would die in
 * the very sweep that ends a command.
 *
 * An image's entry point may run beside the commands (service.c); given this program without arguments as what to run in
 * the end, it tells us so by SIGUSR1 and stays.
 *
 * A command's tree is ended by kill(-1, SIGKILL): the kernel sends it to every process of this PID name
 * space but us, under the lock that fork needs, so that one sweep ends even a fork bomb. When the control
 * socket closes, for whatever reason, we exit and the kernel kills all that is left. Where no namespace is to be had
 * (confine.c) we are not PID 1, know our processes by their descent, and end them ourselves before we exit.
 *
 * What runs beside us has our user id and is hostile. We are not dumpable, so that it can neither trace us
 * nor read our memory, environment or descriptors; all our descriptors are close-on-exec; we follow no link
 * it made and never open anything that could make us wait.
 */
#include "init/init.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#define SWEEP_ROUNDS 5000
#define SWEEP_PAUSE_US 1000

static int ctl = -1;
static pid_t command; /* the foreground command, 0: none */
static bool kill_at_end;
static int64_t cpu_before_us;

/* The end of everything but us and the service, looked for one by one: false where that does not come to an end. */
static bool sweep_around_service(int *status, struct rusage *usage, int *ended)
{
	struct rusage ru;
	int st, met = 1;
	pid_t pid;

	for (int round = 0; met && round < SWEEP_ROUNDS; round++) {
		met = service_kill_others();
		if (met)
			usleep(SWEEP_PAUSE_US);
		while ((pid = wait4(-1, &st, WNOHANG, &ru)) > 0) {
			service_reaped(pid);
			*ended += WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL;
			if (pid == command) {
				*status = st;
				*usage = ru;
			}
		}
	}
	return !met;
}

/* The end of everything but us. The status of the foreground command is kept for later. Returns how many
 * processes were still running. */
static int sweep(int *status, struct rusage *usage)
{
	struct rusage ru;
	int st, ended = 0;

	if (service_runs() && sweep_around_service(status, usage, &ended))
		return ended;
	for (;;) {
		confine_kill_all();
		pid_t pid = wait4(-1, &st, 0, &ru);
		if (pid < 0 && errno == ECHILD)
			return ended;
		for (; pid > 0; pid = wait4(-1, &st, WNOHANG, &ru)) {
			service_reaped(pid);
			ended += WIFSIGNALED(st) && WTERMSIG(st) == SIGKILL;
			if (pid == command) {
				*status = st;
				*usage = ru;
			}
		}
	}
}

/* The kernel ends the rest of a PID namespace with its PID 1; where we are none, we do. */
static _Noreturn void leave(void)
{
	if (confine_is_on())
		sweep(&(int){0}, &(struct rusage){0});
	_exit(0);
}

static void reply(const struct proto_reply *r, int fd)
{
	struct iovec iov = {.iov_base = (void *)r, .iov_len = sizeof *r};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof control;
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	while (sendmsg(ctl, &msg, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			leave();
}

static void reply_simple(uint32_t op, int error)
{
	reply(&(struct proto_reply){.op = op, .error = error}, -1);
}

static void command_ended(int status, const struct rusage *usage, int left)
{
	struct proto_reply r = {.op = PROTO_EXITED, .status = status, .processes = left};

	command = 0;
	r.memory = (int64_t)usage->ru_maxrss * 1024;
	r.cpu_us = stats_children_cpu_us() - cpu_before_us;
	reply(&r, -1);
}

static void kill_all(void)
{
	struct rusage usage = {0};
	int status = SIGKILL;

	int left = sweep(&status, &usage);
	if (command)
		command_ended(status, &usage, left);
	reply_simple(PROTO_KILLALL, 0);
}

/* What the command has abandoned, a daemon, is meant to go on. */
static void kill_tree(void)
{
	struct rusage usage = {0};
	int status = SIGKILL;

	if (command) {
		service_kill_tree(command);
		while (wait4(command, &status, 0, &usage) < 0 && errno == EINTR)
			;
		command_ended(status, &usage, 0);
	}
	reply_simple(PROTO_KILLALL, 0);
}

static void reap(void)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		service_reaped(pid);
		if (pid != command)
			continue;
		int left = kill_at_end ? sweep(&(int){0}, &(struct rusage){0}) : 0;
		command_ended(status, &usage, left);
	}
}

static void start_command(const struct proto_request *req, const int fds[PROTO_FDS])
{
	if (command) {
		reply(&(struct proto_reply){.op = PROTO_EXITED, .error = EBUSY}, -1);
		return;
	}
	kill_at_end = req->flags & PROTO_KILL_AT_END;
	cpu_before_us = stats_children_cpu_us();
	pid_t pid = exec_start(req, fds);
	if (pid < 0)
		reply(&(struct proto_reply){.op = PROTO_EXITED, .error = errno}, -1);
	else
		command = pid;
}

static void send_file(const char *path)
{
	int fd = file_get(path);

	reply(&(struct proto_reply){.op = PROTO_GET, .error = fd < 0 ? errno : 0}, fd);
	if (fd >= 0)
		close(fd);
}

static void send_stats(bool precise)
{
	struct proto_reply r = {.op = PROTO_STATS, .status = precise ? PROTO_PRECISE : 0};

	stats_read(&r, precise);
	reply(&r, -1);
}

static void forward(const struct proto_request *req, int socket)
{
	struct proto_reply r = {.op = PROTO_FORWARD};
	unsigned port = req->port;

	r.error = forwarder_open(&port, socket);
	r.status = (int32_t)port;
	reply(&r, -1);
}

static void send_service(void)
{
	struct proto_reply r = {.op = PROTO_SERVICE};

	service_tell(&r);
	reply(&r, -1);
}

static void dispatch(const struct proto_request *req, const int fds[PROTO_FDS])
{
	switch (req->op) {
	case PROTO_EXEC:
		start_command(req, fds);
		break;
	case PROTO_KILLALL:
		kill_all();
		break;
	case PROTO_KILLTREE:
		kill_tree();
		break;
	case PROTO_PUT:
		reply_simple(PROTO_PUT, file_put(req->path, req->mode, fds[0]));
		break;
	case PROTO_GET:
		send_file(req->path);
		break;
	case PROTO_STATS:
		send_stats(req->flags & PROTO_PRECISE);
		break;
	case PROTO_FORWARD:
		forward(req, fds[0]);
		break;
	case PROTO_CONFINE:
		reply_simple(PROTO_CONFINE, confine(req, fds));
		break;
	case PROTO_SERVE:
		reply_simple(PROTO_SERVE, service_start(req, fds));
		break;
	case PROTO_SERVICE:
		send_service();
		break;
	default:
		reply_simple(req->op, ENOSYS);
	}
}

static void take_fds(struct msghdr *msg, int fds[PROTO_FDS])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);

	for (int i = 0; i < PROTO_FDS; i++)
		fds[i] = -1;
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return;
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	memcpy(fds, CMSG_DATA(c), (n < PROTO_FDS ? n : PROTO_FDS) * sizeof(int));
}

static void serve_request(void)
{
	static struct proto_request req;
	struct iovec iov = {.iov_base = &req, .iov_len = sizeof req};
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(PROTO_FDS * sizeof(int))];
	} control;
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = &control,
			     .msg_controllen = sizeof control};
	int fds[PROTO_FDS];

	memset(&req, 0, sizeof req);
	ssize_t n = recvmsg(ctl, &msg, MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0)
		leave();
	take_fds(&msg, fds);
	req.path[sizeof req.path - 1] = '\0';
	dispatch(&req, fds);
	for (int i = 0; i < PROTO_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int open_control(const char *where)
{
	if (!strncmp(where, "fd:", 3))
		return (int)strtol(where + 3, NULL, 10);

	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len = strlen(where);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || len >= sizeof addr.sun_path)
		return -1;
	memcpy(addr.sun_path, where, len + 1);
	return connect(fd, (struct sockaddr *)&addr, sizeof addr) ? -1 : fd;
}

static void quiet_stdio(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = 0; fd < 3 && null >= 0; fd++)
		dup2(null, fd);
}

static int open_signals(void)
{
	sigset_t set;

	/* Everything is blocked, not only SIGCHLD: nothing sent from inside may reach us. */
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGUSR1);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void loop(int signals)
{
	static struct pollfd pfds[2 + FORWARDER_POLLFDS];

	for (;;) {
		int timeout_ms = -1;

		pfds[0] = (struct pollfd){.fd = ctl, .events = POLLIN};
		pfds[1] = (struct pollfd){.fd = signals, .events = POLLIN};
		size_t n = 2 + forwarder_poll_add(pfds + 2, &timeout_ms);
		if (poll(pfds, n, timeout_ms) < 0)
			continue;
		if (pfds[1].revents) {
			struct signalfd_siginfo info;
			while (read(signals, &info, sizeof info) > 0)
				if (info.ssi_signo == SIGUSR1)
					service_is_ready();
			reap();
		}
		forwarder_poll_done(pfds + 2);
		if (pfds[0].revents)
			serve_request();
	}
}

int main(int argc, char **argv)
{
	if (argc == 1 && getpid() != 1) {
		kill(1, SIGUSR1);
		for (;;)
			pause();
	}
	if (argc > 2 && getpid() != 1)
		return helper_run(argc, argv);
	if (argc != 2)
		return 2;
	prctl(PR_SET_DUMPABLE, 0);
	umask(022);
	int signals = open_signals();
	ctl = open_control(argv[1]);
	if (ctl < 3 || signals < 0)
		return 3;
	syscall(SYS_close_range, 3U, ~0U, 1U << 2 /* CLOSE_RANGE_CLOEXEC */);
	quiet_stdio();
	reply(&(struct proto_reply){.op = PROTO_HELLO, .status = PROTO_VERSION}, -1);
	loop(signals);
}
