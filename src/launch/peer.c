/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "launch/peer.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "os/fdio.h"
#include "os/lines.h"

enum { LINE_MAX_BYTES = 16 << 20, READ_BYTES = 64 << 10, TURN_BYTES = 4 << 20 };

int peer_start(struct peer *p, const char *const *argv, int dir_fd, int err_fd, struct err *err)
{
	int pair[2];

	/* One descriptor for both ways is one less to watch. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return err_set(err, ERR_INFRA, errno, "make a socket pair");
	AUTO(fd) int ours = pair[0];
	AUTO(fd) int theirs = pair[1];
	const struct spawn spawn = {
		.argv = argv, .dir_fd = dir_fd, .in = theirs, .out = theirs, .err = err_fd};
	if (spawn_start(&p->child, &spawn, true, err))
		return -1;
	fd_set_nonblock(ours, true);
	p->fd = fd_steal(&ours);
	buf_reset(&p->begun);
	buf_reset(&p->waiting);
	return 0;
}

void peer_send(struct peer *p, json_t *message_take)
{
	json_format(&p->waiting, message_take, false);
	buf_addc(&p->waiting, '\n');
	json_decref(message_take);
}

struct pollfd peer_watch(const struct peer *p)
{
	return (struct pollfd){.fd = p->fd,
			       .events = (short)(POLLIN | (p->waiting.len ? POLLOUT : 0))};
}

static bool write_some(struct peer *p)
{
	while (p->waiting.len) {
		ssize_t n = send(p->fd, p->waiting.data, p->waiting.len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		memmove(p->waiting.data, p->waiting.data + n, p->waiting.len - (size_t)n + 1);
		p->waiting.len -= (size_t)n;
	}
	return true;
}

struct hearer {
	void (*fn)(void *arg, const json_t *message);
	void *arg;
};

static void on_line(void *arg, const char *line, size_t len)
{
	const struct hearer *h = arg;
	AUTO(json) json_t *j = json_foreign(line, len);

	if (json_is_object(j))
		h->fn(h->arg, j);
}

static bool read_all(struct peer *p, struct hearer *h)
{
	char block[READ_BYTES];
	size_t taken = 0;
	ssize_t n = 0;

	/* One that never stops leaves the others their turns. */
	while (taken < TURN_BYTES && (n = read(p->fd, block, sizeof block)) > 0) {
		taken += (size_t)n;
		lines_feed(&p->begun, block, (size_t)n, LINE_MAX_BYTES, on_line, h);
	}
	return taken >= TURN_BYTES || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

bool peer_turn(struct peer *p, short revents, void (*fn)(void *arg, const json_t *message),
	       void *arg)
{
	if (p->fd < 0)
		return false;
	/* What it said before it left is heard first. */
	bool reads =
		!(revents & (POLLIN | POLLHUP | POLLERR)) || read_all(p, &(struct hearer){fn, arg});
	return reads && write_some(p);
}

void peer_stop(struct peer *p, int64_t within_ms)
{
	struct err ignored;
	int status;

	const int64_t end = clock_mono_ms() + within_ms;
	while (within_ms && p->fd >= 0 && p->waiting.len && clock_mono_ms() < end &&
	       write_some(p) && p->waiting.len)
		poll(&(struct pollfd){.fd = p->fd, .events = POLLOUT}, 1, (int)within_ms);
	if (p->fd >= 0)
		shutdown(p->fd, SHUT_WR);
	if (p->child.pid && within_ms && !spawn_wait(&p->child, end, &status, &ignored))
		p->child.pid = 0;
	spawn_kill(&p->child, true);
	auto_fd(&p->fd);
	p->fd = -1;
	buf_release(&p->begun);
	buf_release(&p->waiting);
}
