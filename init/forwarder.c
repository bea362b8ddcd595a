/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The loopback forwarder: each TCP connection to 127.0.0.1:PORT gets one connection to the unix socket. Bytes
 * go both ways through bounded buffers. A client that closes its sending side still gets its answer: that is passed
 * on as a half-close. One that has left looks the same on the wire, but nobody holds its socket any more, as the kernel's
 * list of connections tells: its connection is closed on the other side, too.
 */
#include "init/init.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 16384
#define RETRY_MS 20 /* the other side's backlog is full */
#define LOOK_MS 200 /* whether a client that has said all is still there */

struct half {
	char *data; /* allocated while in use */
	size_t at, len;
	bool eof;  /* the source will send no more */
	bool shut; /* and the sink was told */
};

struct connection {
	int tcp, peer;	     /* tcp -1: free; peer -1: not connected yet */
	struct half out, in; /* tcp to peer, peer to tcp */
	int tcp_slot, peer_slot;
	int64_t looked_ms; /* whether its client is still there */
};

static int listener = -1;
static struct sockaddr_un target;
static struct connection connections[FORWARDER_CONNECTIONS];
static int open_connections;

int forwarder_open(unsigned *port, int socket_fd)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)*port),
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t addr_len = sizeof addr;

	if (listener >= 0)
		return EALREADY;
	int kept = fcntl(socket_fd, F_DUPFD_CLOEXEC, 3);
	if (*port > 65535 || kept < 0)
		return EINVAL;
	target.sun_family = AF_UNIX;
	snprintf(target.sun_path, sizeof target.sun_path, "/proc/self/fd/%d", kept);
	for (int i = 0; i < FORWARDER_CONNECTIONS; i++)
		connections[i].tcp = -1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
	if (bind(fd, (struct sockaddr *)&addr, sizeof addr) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&addr, &addr_len)) {
		int error = errno;
		close(fd);
		return error;
	}
	listener = fd;
	*port = ntohs(addr.sin_port);
	return 0;
}

static void drop(struct connection *c)
{
	close(c->tcp);
	if (c->peer >= 0)
		close(c->peer);
	free(c->out.data);
	free(c->in.data);
	c->tcp = -1;
	open_connections--;
}

/* Whether TABLE lists the client's end of a connection (FROM its port TO ours) as one that a process holds: a line is
 * "SL LOCAL:PORT REMOTE:PORT STATE QUEUES TIMER RETRANSMITS UID TIMEOUT INODE ...", and the inode of others is 0. */
static bool is_held(const char *table, unsigned from, unsigned to)
{
	FILE *f = fopen(table, "re");
	char line[512];
	bool held = false;

	while (f && !held && fgets(line, sizeof line, f)) {
		unsigned local, remote;
		unsigned long inode;
		held = sscanf(line, " %*[^:]: %*[^:]:%x %*[^:]:%x %*s %*s %*s %*s %*s %*s %lu",
			      &local, &remote, &inode) == 3 &&
		       local == from && remote == to && inode;
	}
	if (f)
		fclose(f);
	return held;
}

static bool client_is_there(struct connection *c)
{
	struct timespec t;
	struct sockaddr_in client = {0}, own = {0};
	socklen_t client_n = sizeof client, own_n = sizeof own;

	clock_gettime(CLOCK_MONOTONIC, &t);
	int64_t now_ms = t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (c->looked_ms && now_ms - c->looked_ms < LOOK_MS)
		return true;
	c->looked_ms = now_ms;
	if (getpeername(c->tcp, (struct sockaddr *)&client, &client_n) ||
	    getsockname(c->tcp, (struct sockaddr *)&own, &own_n))
		return false;
	unsigned from = ntohs(client.sin_port), to = ntohs(own.sin_port);
	return is_held("/proc/net/tcp", from, to) || is_held("/proc/net/tcp6", from, to);
}

static void connect_peer(struct connection *c)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && !connect(fd, (struct sockaddr *)&target, sizeof target)) {
		c->peer = fd;
		return;
	}
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (error != EAGAIN)
		drop(c);
}

static void accept_one(void)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	for (int i = 0; i < FORWARDER_CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->tcp >= 0)
			continue;
		*c = (struct connection){.tcp = fd, .peer = -1};
		open_connections++;
		connect_peer(c);
		return;
	}
	close(fd);
}

/* A direction that failed is over: its bytes are dropped, and the other one goes on, since an answer may
 * come from a side that has stopped listening. */
static void give_up(struct half *h)
{
	h->len = 0;
	h->eof = true;
}

static void fill(struct half *h, int from)
{
	if (h->len || h->eof)
		return;
	if (!h->data && !(h->data = malloc(BUFFER))) {
		give_up(h);
		return;
	}
	ssize_t n = read(from, h->data, BUFFER);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		give_up(h);
		return;
	}
	h->at = 0;
	h->len = (size_t)n;
}

static void drain(struct half *h, int to)
{
	if (h->len) {
		ssize_t n = send(to, h->data + h->at, h->len, MSG_NOSIGNAL);
		if (n >= 0) {
			h->at += (size_t)n;
			h->len -= (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			give_up(h);
		}
	}
	if (h->len)
		return;
	free(h->data); /* an idle connection costs no buffer */
	h->data = NULL;
	if (h->eof && !h->shut) {
		shutdown(to, SHUT_WR);
		h->shut = true;
	}
}

/* POLLHUP cannot be masked out: a descriptor that could only report it again and again is left out. */
static struct pollfd watch(int fd, const struct half *source, const struct half *sink, bool always)
{
	short events =
		(short)((!source->len && !source->eof ? POLLIN : 0) | (sink->len ? POLLOUT : 0));

	return (struct pollfd){.fd = events || always ? fd : -1, .events = events};
}

size_t forwarder_poll_add(struct pollfd *pfds, int *timeout_ms)
{
	size_t n = 0;

	if (listener < 0)
		return 0;
	/* At the cap new connections wait in the backlog. */
	pfds[n++] = (struct pollfd){.fd = open_connections < FORWARDER_CONNECTIONS ? listener : -1,
				    .events = POLLIN};
	for (int i = 0; i < FORWARDER_CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		c->tcp_slot = c->peer_slot = 0;
		if (c->tcp < 0)
			continue;
		if (c->peer < 0) {
			*timeout_ms = RETRY_MS;
			continue;
		}
		if (c->out.shut && !c->in.shut)
			*timeout_ms =
				*timeout_ms < 0 || *timeout_ms > LOOK_MS ? LOOK_MS : *timeout_ms;
		c->tcp_slot = (int)n;
		/* A reset by the client is noticed even while it only waits for an answer. */
		pfds[n++] = watch(c->tcp, &c->out, &c->in, !c->in.shut);
		c->peer_slot = (int)n;
		pfds[n++] = watch(c->peer, &c->in, &c->out, false);
	}
	return n;
}

static void serve(struct connection *c, short tcp, short peer)
{
	if (tcp & (POLLERR | POLLNVAL)) {
		drop(c);
		return;
	}
	if (tcp & (POLLIN | POLLHUP))
		fill(&c->out, c->tcp);
	if (peer & (POLLIN | POLLHUP | POLLERR))
		fill(&c->in, c->peer);
	if (tcp | peer) {
		drain(&c->out, c->peer);
		drain(&c->in, c->tcp);
	}
	if (c->out.shut && (c->in.shut || !client_is_there(c)))
		drop(c);
}

void forwarder_poll_done(const struct pollfd *pfds)
{
	if (listener < 0)
		return;
	for (int i = 0; i < FORWARDER_CONNECTIONS; i++) {
		struct connection *c = &connections[i];
		if (c->tcp < 0)
			continue;
		if (c->peer < 0)
			connect_peer(c);
		else if (c->tcp_slot)
			serve(c, pfds[c->tcp_slot].revents, pfds[c->peer_slot].revents);
	}
	if (pfds[0].revents)
		accept_one();
}
