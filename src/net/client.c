/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "net/client.h"
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/mem.h"

struct http_client {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	void (*done)(void *ctx, CURL *easy, CURLcode code);
	bool changed; /* something may have ended */
	struct watch **by_fd;
	size_t by_fd_n;
};

/* curl lets go of a socket after each transfer and asks for it again with the next. What is kept alive is
 * left in the epoll set meanwhile: two system calls fewer for each request. */
struct watch {
	struct loop_watch w;
	struct http_client *client;
	bool wanted, kept; /* by curl, now; opened by us, so that we hear of its end */
};

static void socket_ready(void *ctx, uint32_t events)
{
	struct watch *s = ctx;
	struct http_client *c = s->client;
	int running, mask = 0;

	if (!s->wanted) { /* an idle connection that the server closes, say: curl sees when it wants it */
		loop_unwatch(c->loop, &s->w);
		return;
	}
	if (events & EPOLLIN)
		mask |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		mask |= CURL_CSELECT_OUT;
	if (events & (EPOLLERR | EPOLLHUP))
		mask |= CURL_CSELECT_ERR | CURL_CSELECT_IN;
	curl_multi_socket_action(c->multi, s->w.fd, mask, &running);
	c->changed = true;
}

static struct watch *watch_of(struct http_client *c, int fd)
{
	if ((size_t)fd >= c->by_fd_n) {
		size_t n = (size_t)fd + 64;
		c->by_fd = xreallocarray(c->by_fd, n, sizeof *c->by_fd);
		for (size_t i = c->by_fd_n; i < n; i++)
			c->by_fd[i] = NULL;
		c->by_fd_n = n;
	}
	if (!c->by_fd[fd]) {
		struct watch *s = c->by_fd[fd] = xcalloc(1, sizeof *s);
		s->client = c;
		s->w = (struct loop_watch){.fd = fd, .ready = socket_ready, .ctx = s};
	}
	return c->by_fd[fd];
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *unused)
{
	struct http_client *c = ctx;
	struct watch *s = watch_of(c, fd);
	struct err err;

	s->wanted = what != CURL_POLL_REMOVE;
	if (!s->wanted) {
		if (!s->kept)
			loop_unwatch(c->loop, &s->w);
		return 0;
	}
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
	return loop_watch(c->loop, &s->w, events, &err) ? -1 : 0;
}

static curl_socket_t open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
	struct http_client *c = ctx;
	int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);

	if (fd < 0)
		return CURL_SOCKET_BAD;
	watch_of(c, fd)->kept = true;
	return fd;
}

static int close_socket(void *ctx, curl_socket_t fd)
{
	struct http_client *c = ctx;
	struct watch *s = watch_of(c, fd);

	loop_unwatch(c->loop, &s->w);
	s->wanted = s->kept = false;
	return close(fd);
}

static void timer_fires(void *ctx)
{
	struct http_client *c = ctx;
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	c->changed = true;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx)
{
	struct http_client *c = ctx;

	if (timeout_ms < 0)
		loop_unset(c->loop, &c->timer);
	else
		loop_set(c->loop, &c->timer, loop_now_ms(c->loop) + timeout_ms);
	return 0;
}

int http_client_new(struct http_client **out, struct loop *l, long connections_kept,
		    void (*done)(void *ctx, CURL *easy, CURLcode code), struct err *err)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return err_set(err, ERR_INFRA, 0, "libcurl does not start");
	struct http_client *c = xcalloc(1, sizeof *c);
	c->loop = l;
	c->done = done;
	c->timer = (struct loop_timer){.fire = timer_fires, .ctx = c};
	c->multi = curl_multi_init();
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, connections_kept);
	*out = c;
	return 0;
}

void http_client_free(struct http_client *c)
{
	if (!c)
		return;
	curl_multi_cleanup(c->multi);
	loop_unset(c->loop, &c->timer);
	for (size_t i = 0; i < c->by_fd_n; i++)
		free(c->by_fd[i]);
	free(c->by_fd);
	free(c);
	curl_global_cleanup();
}

void http_client_url(CURL *easy, const char *url)
{
	curl_easy_setopt(easy, CURLOPT_URL, url);
	/* Rather wait for the first connection, which may carry them all by HTTP/2, than open one for each.
	 * Without TLS it is never HTTP/2, and curl would find that out with the end of the first answer only. */
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, strncmp(url, "https:", 6) == 0 ? 1L : 0L);
}

CURL *http_client_handle(struct http_client *c)
{
	CURL *easy = curl_easy_init();

	if (!easy)
		bug("curl_easy_init");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (getenv("SSL_CERT_FILE")) /* as other programs take it: a proxy's own authority, say */
		curl_easy_setopt(easy, CURLOPT_CAINFO, getenv("SSL_CERT_FILE"));
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	/* What a proxy says to CONNECT is not the answer. */
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, c);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, c);
	return easy;
}

int http_client_start(struct http_client *c, CURL *easy, struct err *err)
{
	CURLMcode code = curl_multi_add_handle(c->multi, easy);

	if (code)
		return err_set(err, ERR_INFRA, 0, "libcurl: %s", curl_multi_strerror(code));
	return 0;
}

void http_client_cancel(struct http_client *c, CURL *easy)
{
	curl_multi_remove_handle(c->multi, easy);
}

bool http_client_has_news(const struct http_client *c)
{
	return c->changed;
}

void http_client_push(struct http_client *c)
{
	/* A transfer that was just added asks for a timeout of nothing: the loop need not look round first. */
	for (int i = 0; i < 4 && c->timer.slot && c->timer.at_ms <= loop_now_ms(c->loop); i++) {
		loop_unset(c->loop, &c->timer);
		timer_fires(c);
	}
}

void http_client_reap(struct http_client *c)
{
	CURLMsg *m;
	int left;

	if (!c->changed)
		return;
	c->changed = false;
	while ((m = curl_multi_info_read(c->multi, &left))) {
		if (m->msg != CURLMSG_DONE)
			continue;
		CURL *easy = m->easy_handle;
		CURLcode code = m->data.result;
		void *ctx;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&ctx);
		curl_multi_remove_handle(c->multi, easy);
		c->done(ctx, easy, code);
	}
}
