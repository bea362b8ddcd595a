// SPDX-License-Identifier: GPL-3.0-or-later
// The yardstick of bench/gateway: a client that keeps N connections busy, and a provider of event streams.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 20000, SAMPLES = 4 << 20 };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	perror(what);
	exit(3);
}

// "/path" or "PORT" of 127.0.0.1
static int dial(const char *address)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd;

	if (*address == '/') {
		snprintf(un.sun_path, sizeof un.sun_path, "%s", address);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		while (connect(fd, (struct sockaddr *)&un, sizeof un))
			if (errno != EAGAIN)
				die("connect");
	} else {
		in.sin_port = htons((uint16_t)strtol(address, NULL, 10));
		fd = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(fd, (struct sockaddr *)&in, sizeof in))
			die("connect");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

struct conn {
	int fd;
	double sent;
	size_t n;
	long left; /* of a body with a length; -1: the head is not over; -2: in chunks */
	char head[8192], tail[8];
};

static struct conn conns[MOST];
static float samples[SAMPLES];
static char request[1 << 20];
static size_t request_n;

static void ask(struct conn *c)
{
	c->n = 0;
	c->left = -1;
	memset(c->tail, 0, sizeof c->tail);
	c->sent = now();
	for (size_t at = 0; at < request_n;) {
		ssize_t n = write(c->fd, request + at, request_n - at);
		if (n < 0 && errno != EAGAIN)
			die("write");
		at += n > 0 ? (size_t)n : 0;
	}
}

static void keep_tail(struct conn *c, const char *data, size_t n)
{
	for (size_t i = n > 7 ? n - 7 : 0; i < n; i++) {
		memmove(c->tail, c->tail + 1, 6);
		c->tail[6] = data[i];
	}
}

// True: the answer is whole.
static bool take(struct conn *c, const char *data, size_t n)
{
	if (c->left == -1) {
		size_t before = c->n,
		       more = n < sizeof c->head - 1 - c->n ? n : sizeof c->head - 1 - c->n;
		memcpy(c->head + c->n, data, more);
		c->n += more;
		c->head[c->n] = '\0';
		char *end = strstr(c->head, "\r\n\r\n");
		if (!end)
			return false;
		if (strncmp(c->head, "HTTP/1.1 200", 12)) {
			fprintf(stderr, "%.300s\n", c->head);
			exit(3);
		}
		char *length = strcasestr(c->head, "content-length:");
		size_t used = (size_t)(end + 4 - c->head) - before;
		c->left = length && length < end ? strtol(length + 15, NULL, 10) : -2;
		data += used;
		n -= used;
	}
	if (c->left >= 0) {
		c->left -= (long)n;
		return c->left <= 0;
	}
	keep_tail(c, data, n);
	return memcmp(c->tail, "\r\n0\r\n\r\n", 7) == 0;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static int client(int n, double seconds, long each, const char *address, const char *file)
{
	static char data[65536];
	static struct epoll_event events[512];
	int epoll = epoll_create1(0), open_n = n;
	long done = 0, wanted = each * n;
	FILE *f = fopen(file, "r");

	if (!f)
		die(file);
	request_n = fread(request, 1, sizeof request, f);
	for (int i = 0; i < n; i++) {
		conns[i].fd = dial(address);
		epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd,
			  &(struct epoll_event){EPOLLIN, {.ptr = &conns[i]}});
	}
	double start = now(), stop = seconds > 0 ? start + seconds : 1e18;
	for (int i = 0; i < n; i++)
		ask(&conns[i]);
	while (open_n) {
		int got = epoll_wait(epoll, events, 512, -1);
		for (int i = 0; i < got; i++) {
			struct conn *c = events[i].data.ptr;
			ssize_t r = read(c->fd, data, sizeof data);
			if (r < 0 && errno == EAGAIN)
				continue;
			if (r <= 0) {
				fprintf(stderr, "the server closed a connection\n");
				exit(3);
			}
			if (!take(c, data, (size_t)r))
				continue;
			double t = now();
			if (done < SAMPLES)
				samples[done] = (float)(t - c->sent);
			done++;
			if (t > stop || (wanted && done + open_n > wanted)) {
				close(c->fd);
				open_n--;
			} else {
				ask(c);
			}
		}
	}
	double took = now() - start;
	size_t m = done < SAMPLES ? (size_t)done : SAMPLES;
	qsort(samples, m, sizeof *samples, by_size);
	printf("{\"done\":%ld,\"seconds\":%.3f,\"rate\":%.0f,\"median_us\":%.1f,\"p99_us\":%.1f}\n",
	       done, took, (double)done / took, 1e6 * (double)samples[m / 2],
	       1e6 * (double)samples[m * 99 / 100]);
	return 0;
}

struct stream {
	int fd;
	bool asked;
	int sent;
	double due;
};

static struct stream streams[MOST];

static bool send_event(struct stream *s, int events)
{
	char piece[400], text[512];

	if (s->sent < events)
		snprintf(piece, sizeof piece,
			 "data: "
			 "{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\","
			 "\"choices\":[{\"index\":0,"
			 "\"delta\":{\"content\":\"some words of an answer "
			 "%d\"},\"finish_reason\":null}],\"usage\":null}\n\n",
			 s->sent);
	else
		snprintf(piece, sizeof piece,
			 "data: "
			 "{\"choices\":[],\"model\":\"m\",\"usage\":{\"prompt_tokens\":10,"
			 "\"completion_tokens\":20}}\n\n"
			 "data: [DONE]\n\n");
	int n = snprintf(text, sizeof text, "%zx\r\n%s\r\n%s", strlen(piece), piece,
			 s->sent < events ? "" : "0\r\n\r\n");
	if (write(s->fd, text, (size_t)n) != n)
		return false;
	return s->sent++ < events;
}

static _Noreturn void provider(int port, int events, double gap)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: "
				   "text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
	static struct epoll_event ready[512];
	static char data[65536];
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&in, sizeof in) || listen(listener, 4096))
		die("listen");
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &(struct epoll_event){EPOLLIN, {.fd = listener}});
	for (;;) {
		int got = epoll_wait(epoll, ready, 512, 5);
		double t = now();
		for (int i = 0; i < got; i++) {
			int fd = ready[i].data.fd;
			if (fd == listener) {
				fd = accept(listener, NULL, NULL);
				if (fd < 0 || fd >= MOST)
					die("accept");
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				streams[fd] = (struct stream){.fd = fd};
				epoll_ctl(epoll, EPOLL_CTL_ADD, fd,
					  &(struct epoll_event){EPOLLIN, {.fd = fd}});
			} else if (read(fd, data, sizeof data) <= 0) {
				close(fd);
				streams[fd].asked = false;
			} else if (!streams[fd].asked) {
				streams[fd] =
					(struct stream){.fd = fd, .asked = true, .due = t + gap};
				if (write(fd, head, sizeof head - 1) < 0)
					streams[fd].asked = false;
			}
		}
		for (int fd = 0; fd < MOST; fd++)
			if (streams[fd].asked && streams[fd].due <= t) {
				streams[fd].due = t + gap;
				streams[fd].asked = send_event(&streams[fd], events);
			}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	signal(SIGPIPE, SIG_IGN);
	if (argc == 7 && !strcmp(argv[1], "client"))
		return client((int)strtol(argv[2], NULL, 10), strtod(argv[3], NULL),
			      strtol(argv[4], NULL, 10), argv[5], argv[6]);
	if (argc == 5 && !strcmp(argv[1], "provider"))
		provider((int)strtol(argv[2], NULL, 10), (int)strtol(argv[3], NULL, 10),
			 strtod(argv[4], NULL));
	fprintf(stderr, "usage: gateway-load client CONNECTIONS SECONDS EACH ADDRESS REQUEST\n"
			"       gateway-load provider PORT EVENTS GAP_SECONDS\n");
	return 2;
}
