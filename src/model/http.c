/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/http.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
	CONNECT_MS = 60 * 1000, /* a gateway that died is started again */
	AGAIN_MS = 200,
	HEAD_MAX = 64 << 10,
	PIECE = 64 << 10,
};

struct exchange {
	const struct model_client *client;
	int sock;
	int64_t deadline_ms;
	struct buf in;
};

enum step { STEP_ON, STEP_LATE, STEP_FAILED };

static int64_t deadline_of(const struct model_client *c)
{
	return c->deadline ? c->deadline(c->arg) : c->deadline_ms;
}

/* Wait for EVENTS on SOCK (-1: for AT_MOST_MS to pass), for the end of the time, or to be stopped. */
static enum step wait_for(struct exchange *x, int sock, short events, int64_t at_most_ms,
			  struct err *err)
{
	const struct model_client *c = x->client;
	int64_t give_up = at_most_ms ? clock_mono_ms() + at_most_ms : 0;

	while (true) {
		struct pollfd p[4] = {
			{.fd = sock, .events = events},
			{.fd = c->news_fd, .events = POLLIN},
			{.fd = c->cancel_fds[0], .events = POLLIN},
			{.fd = c->cancel_fds[1], .events = POLLIN},
		};
		int64_t until = give_up && (!x->deadline_ms || give_up < x->deadline_ms)
					? give_up
					: x->deadline_ms;

		if (poll(p, ARRAY_SIZE(p), clock_wait_ms(until)) < 0 && errno != EINTR) {
			(void)err_set(err, ERR_INFRA, errno, "poll");
			return STEP_FAILED;
		}
		if (p[2].revents || p[3].revents) {
			(void)err_set(err, ERR_CANCELLED, 0, "stopped on request");
			return STEP_FAILED;
		}
		if (p[0].revents)
			return STEP_ON;
		bool is_late = x->deadline_ms && clock_mono_ms() >= x->deadline_ms;
		if (p[1].revents || is_late)
			x->deadline_ms = deadline_of(c);
		if (x->deadline_ms && clock_mono_ms() >= x->deadline_ms)
			return STEP_LATE;
		if (give_up && clock_mono_ms() >= give_up)
			return STEP_ON;
	}
}

/* Through /proc: the path itself may be longer than an address holds, or out of this user's reach. */
static int connect_once(const struct model_client *c)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	AUTO(fd) int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "/proc/self/fd/%d", c->socket_fd);
	if (sock < 0 || connect(sock, (struct sockaddr *)&to, sizeof to))
		return -1;
	return fd_steal(&sock);
}

static enum step open_connection(struct exchange *x, struct err *err)
{
	int64_t give_up = clock_mono_ms() + CONNECT_MS;

	while ((x->sock = connect_once(x->client)) < 0) {
		int why = errno;
		bool passing = why == ECONNREFUSED || why == EAGAIN;
		if (!passing || clock_mono_ms() >= give_up) {
			(void)err_set(err, ERR_INFRA, why, "connect to the gateway");
			err->retry = true;
			return STEP_FAILED;
		}
		enum step s = wait_for(x, -1, 0, AGAIN_MS, err);
		if (s != STEP_ON)
			return s;
	}
	return STEP_ON;
}

static enum step broken(struct err *err, int sys, const char *what)
{
	(void)err_set(err, ERR_INFRA, sys, "the gateway: %s", what);
	err->retry = true;
	return STEP_FAILED;
}

static enum step send_all(struct exchange *x, const struct buf *text, struct err *err)
{
	for (size_t done = 0; done < text->len;) {
		ssize_t n = send(x->sock, text->data + done, text->len - done, MSG_NOSIGNAL);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		/* Whoever refuses a request early may have answered all the same. */
		if (errno == EPIPE || errno == ECONNRESET)
			return STEP_ON;
		if (errno != EAGAIN && errno != EINTR)
			return broken(err, errno, "send a request");
		enum step s = wait_for(x, x->sock, POLLOUT, 0, err);
		if (s != STEP_ON)
			return s;
	}
	return STEP_ON;
}

static enum step receive_all(struct exchange *x, struct err *err)
{
	while (true) {
		buf_grow(&x->in, PIECE);
		ssize_t n = recv(x->sock, x->in.data + x->in.len, PIECE, 0);
		if (n == 0)
			return STEP_ON;
		if (n > 0) {
			x->in.len += (size_t)n;
			x->in.data[x->in.len] = '\0';
			if (x->in.len > HTTP_ANSWER_BYTES)
				return broken(err, 0, "an answer is longer than 64 MB");
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return broken(err, errno, "receive an answer");
		enum step s = wait_for(x, x->sock, POLLIN, 0, err);
		if (s != STEP_ON)
			return s;
	}
}

/* The value of a header of the HEAD, or NULL. */
static const char *header(const char *head, const char *end, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = head; p && p < end; p = strstr(p, "\r\n")) {
		p += p == head ? 0 : 2;
		if (strncasecmp(p, name, n) == 0 && p[n] == ':')
			return p + n + 1 + strspn(p + n + 1, " \t");
	}
	return NULL;
}

/* A body in chunks, which some servers send whatever was asked for. False: it breaks off. */
static bool add_chunks(struct buf *out, const char *at, size_t n)
{
	while (n) {
		char *end;
		const unsigned long long size = strtoull(at, &end, 16);
		const char *line = memmem(at, n, "\r\n", 2);
		if (end == at || !line || size > HTTP_ANSWER_BYTES)
			return false;
		if (!size)
			return true;
		n -= (size_t)(line + 2 - at);
		at = line + 2;
		if (n < size + 2)
			return false;
		buf_add(out, at, (size_t)size);
		at += size + 2;
		n -= (size_t)size + 2;
	}
	return false;
}

static enum step split(const struct exchange *x, struct http_answer *out, struct err *err)
{
	const char *head = x->in.data, *end = strstr(head, "\r\n\r\n");
	size_t len;

	if (!end || end - head > HEAD_MAX || strncmp(head, "HTTP/1.", 7) != 0 || x->in.len < 12)
		return broken(err, 0, "no whole answer");
	out->status = (int)strtol(head + 9, NULL, 10);
	len = x->in.len - (size_t)(end + 4 - head);
	const char *length = header(head, end, "Content-Length");
	const char *coding = header(head, end, "Transfer-Encoding");
	buf_add(&out->head, head, (size_t)(end + 2 - head));
	if (coding && strncasecmp(coding, "chunked", 7) == 0)
		return add_chunks(&out->body, end + 4, len)
			       ? STEP_ON
			       : broken(err, 0, "an answer was cut short");
	if (coding)
		return broken(err, 0, "an answer in an encoding that is not known");
	if (length && strtoull(length, NULL, 10) != len)
		return broken(err, 0, "an answer was cut short");
	buf_add(&out->body, end + 4, len);
	return STEP_ON;
}

int http_post(const struct model_client *c, const char *path, const char *headers,
	      const struct buf *body, struct http_answer *out, struct err *err)
{
	AUTO(buf) struct buf request = BUF_INIT;
	struct exchange x = {
		.client = c, .sock = -1, .deadline_ms = deadline_of(c), .in = BUF_INIT};

	*out = (struct http_answer)HTTP_ANSWER_INIT;
	buf_addf(&request,
		 "POST %s HTTP/1.0\r\nHost: gateway\r\nUser-Agent: rollouts/" ROLLOUTS_VERSION
		 "\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
		 path, body->len, headers);
	buf_add(&request, body->data, body->len);
	enum step s = open_connection(&x, err);
	if (s == STEP_ON)
		s = send_all(&x, &request, err);
	if (s == STEP_ON)
		s = receive_all(&x, err);
	if (s == STEP_ON)
		s = split(&x, out, err);
	out->late = s == STEP_LATE;
	out->broken = s == STEP_FAILED && x.sock >= 0 && err->retry;
	if (x.sock >= 0)
		close(x.sock);
	buf_release(&x.in);
	return s == STEP_FAILED ? -1 : 0;
}

int http_pause(const struct model_client *c, int64_t ms, struct err *err)
{
	struct exchange x = {.client = c, .sock = -1, .deadline_ms = deadline_of(c)};
	enum step s = wait_for(&x, -1, 0, ms, err);

	return s == STEP_FAILED ? -1 : s == STEP_LATE;
}

void http_answer_release(struct http_answer *a)
{
	buf_release(&a->head);
	buf_release(&a->body);
}
