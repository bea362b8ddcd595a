/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * libmicrohttpd in a loop that is not its own: its epoll descriptor is watched, and it runs when that is
 * readable, when a connection was resumed, or when a timeout of its own is due. A connection whose answer
 * is not there yet is suspended; libmicrohttpd then no longer looks at its socket, so we do, lest a request
 * goes on for an agent that left.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include "base/mem.h"
#include "gatewaylink/gateway.h"
#include "gateway/internal.h"

enum {
	/* libmicrohttpd wipes all of it after each request. */
	HEAD_MAX =
		24
		<< 10, /* what libmicrohttpd has for a connection: the request's head, pieces of bodies */
	BLOCK = 16 << 10, /* of an answer, at a time */
	IDLE_S = 180,	  /* longer than the clients keep idle connections */
	RUNS = 16,
};

struct head {
	struct call *call;
	const char *bearer, *api_key, *google_key, *connection, *coding;
	bool upgrade, has_type, has_accept, odd;
};

static bool same(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

/* The token, and what concerns this connection alone: none of it reaches the provider. */
static bool keeps_back(struct head *h, const char *name, const char *value)
{
	static const char *const dropped[] = {
		"host", "connection", "keep-alive", "proxy-connection", "proxy-authorization", "te",
		"trailer", "transfer-encoding", "content-length", "expect", "accept-encoding",
		/* whose account is asked is not the agent's to say */
		"openai-organization", "openai-project", "x-goog-user-project"};
	if (same(name, "authorization"))
		h->bearer = strncasecmp(value, "Bearer ", 7) == 0 ? value + 7 : value;
	else if (same(name, "x-api-key"))
		h->api_key = value;
	else if (same(name, "x-goog-api-key"))
		h->google_key = value;
	else if (same(name, "upgrade"))
		h->upgrade = true;
	else if (same(name, "content-encoding"))
		h->coding = value;
	else {
		for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
			if ((*name | 32) == *dropped[i] && same(name, dropped[i]))
				return true;
		/* Named in Connection: of this connection alone, too. */
		return h->connection && strcasestr(h->connection, name) && !same(name, "close");
	}
	return true;
}

/* As RFC 9110 has names and values. What one server takes for two headers and another for one may carry a request in a
 * request. */
static bool is_plain(const char *name, size_t name_n, const char *value, size_t value_n)
{
	static const bool in_name[256] = {
		['0' ... '9'] = true,  ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
		['#' ... '\''] = true, ['*'] = true,	     ['+'] = true,	   ['-'] = true,
		['.'] = true,	       ['^' ... '`'] = true, ['|'] = true,	   ['~'] = true};

	for (size_t i = 0; i < name_n; i++)
		if (!in_name[(unsigned char)name[i]])
			return false;
	for (size_t i = 0; i < value_n; i++)
		if (((unsigned char)value[i] < ' ' && value[i] != '\t') || value[i] == 127)
			return false;
	return name_n > 0;
}

static enum MHD_Result on_request_header(void *ctx, enum MHD_ValueKind kind, const char *name,
					 size_t name_n, const char *value, size_t value_n)
{
	struct head *h = ctx;
	struct call *c = h->call;

	value = value ? value : "";
	h->odd |= !is_plain(name, name_n, value, value_n);
	if (h->odd || keeps_back(h, name, value))
		return MHD_YES;
	h->has_type |= same(name, "content-type");
	h->has_accept |= same(name, "accept");
	char line[1024], *text = line;
	int n = snprintf(line, sizeof line, *value ? "%s: %s" : "%s;%s", name, value);
	if (n >= (int)sizeof line)
		text = xasprintf("%s: %s", name, value);
	c->asked.headers = curl_slist_append(c->asked.headers, text);
	if (text != line)
		free(text);
	return MHD_YES;
}

static void read_head(struct call *c, struct MHD_Connection *conn, const char *method)
{
	struct head h = {.call = c};

	c->asked.head_read = true;
	c->agent.conn = conn;
	h.connection = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Connection");
	c->agent.closes = h.connection && strcasestr(h.connection, "close");
	MHD_get_connection_values_n(conn, MHD_HEADER_KIND, on_request_header, &h);
	for (const char *p = c->asked.uri; *p; p++)
		h.odd |= *p <= ' ' || *p >= 127;
	if (h.coding)
		c->asked.coding = xstrdup(h.coding);
	/* What libcurl would add by itself. */
	c->asked.headers = curl_slist_append(c->asked.headers, "Expect:");
	if (!h.has_accept)
		c->asked.headers = curl_slist_append(c->asked.headers, "Accept:");
	if (!h.has_type)
		c->asked.headers = curl_slist_append(c->asked.headers, "Content-Type:");
	if (h.odd)
		answer_own(c, 400, "the head of the request is malformed");
	admit_head(c, method, h.upgrade,
		   h.bearer    ? h.bearer
		   : h.api_key ? h.api_key
			       : h.google_key);
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
	c->agent.fd = info ? info->connect_fd : -1;
}

static ssize_t on_read(void *ctx, uint64_t pos, char *data, size_t max)
{
	struct call *c = ctx;
	if (c->replayed && c->answer.out.len == c->answer.out_at)
		replay_feed(c);
	size_t n = c->answer.out.len - c->answer.out_at;
	if (!n && c->answer.done)
		return c->answer.cut ? MHD_CONTENT_READER_END_WITH_ERROR
				     : MHD_CONTENT_READER_END_OF_STREAM;
	if (!n) {
		MHD_suspend_connection(c->agent.conn);
		c->agent.suspended = true;
		return 0;
	}
	if (n > max)
		n = max;
	memcpy(data, c->answer.out.data + c->answer.out_at, n);
	c->answer.out_at += n;
	if (c->answer.out_at == c->answer.out.len) {
		if (c->answer.out.cap > OUT_LOW)
			buf_release(&c->answer.out);
		buf_reset(&c->answer.out);
		c->answer.out_at = 0;
	}
	if (c->try.paused)
		answer_wake(c);
	return (ssize_t)n;
}

static void add_headers(struct call *c, struct MHD_Response *r)
{
	const char *p = c->answer.headers.data, *end = p + c->answer.headers.len;

	while (p < end) {
		const char *value = p + strlen(p) + 1;
		MHD_add_response_header(r, p, value);
		p = value + strlen(value) + 1;
	}
	if (c->answer.own && c->answer.status == 426)
		MHD_add_response_header(r, "Upgrade", "HTTP/1.1");
}

static enum MHD_Result give_answer(struct call *c)
{
	struct MHD_Response *r;

	if (c->answer.done && !c->answer.cut &&
	    (c->answer.length < 0 || c->answer.length == (int64_t)c->answer.out.len)) {
		size_t n = c->answer.out.len;
		r = n ? MHD_create_response_from_buffer(n, buf_detach(&c->answer.out),
							MHD_RESPMEM_MUST_FREE)
		      : MHD_create_response_from_buffer(0, buf_empty, MHD_RESPMEM_PERSISTENT);
	} else {
		uint64_t size =
			c->answer.length < 0 ? MHD_SIZE_UNKNOWN : (uint64_t)c->answer.length;
		r = MHD_create_response_from_callback(size, BLOCK, on_read, c, NULL);
	}
	if (!r)
		return MHD_NO;
	add_headers(c, r);
	enum MHD_Result result = MHD_queue_response(c->agent.conn, (unsigned)c->answer.status, r);
	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *conn, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n, void **request)
{
	struct call *c = *request;

	if (!c)
		return MHD_NO;
	if (!c->asked.head_read) {
		read_head(c, conn, method);
		c->agent.closes |= strcmp(version, MHD_HTTP_VERSION_1_1) != 0;
		return MHD_YES;
	}
	if (*n) {
		/* What is refused is taken in all the same: many clients look for an answer only then. */
		c->asked.too_big |= c->asked.body.len + *n > (size_t)c->gw->doc.body_bytes;
		c->asked.too_much |= !c->asked.too_big && !c->answer.done && !accounts_hold(c, *n);
		if (!c->asked.too_big && !c->asked.too_much && !c->answer.done)
			buf_add(&c->asked.body, data, *n);
		else
			buf_release(&c->asked.body);
		*n = 0;
		return MHD_YES;
	}
	if (!c->asked.body_read)
		call_submit(c);
	if (c->agent.gone && !c->answer.head_ready)
		return MHD_NO;
	if (c->answer.head_ready)
		return give_answer(c);
	MHD_suspend_connection(conn);
	c->agent.suspended = true;
	return MHD_YES;
}

static void *on_uri(void *ctx, const char *uri, struct MHD_Connection *conn)
{
	return call_new(ctx, uri);
}

static void on_completed(void *ctx, struct MHD_Connection *conn, void **request,
			 enum MHD_RequestTerminationCode why)
{
	struct call *c = *request;

	*request = NULL;
	if (!c)
		return;
	/* libmicrohttpd closes the socket at its next run, and asks for none. */
	c->gw->front_due |= c->agent.closes || why != MHD_REQUEST_TERMINATED_COMPLETED_OK;
	call_free(c);
}

static void client_changed(void *ctx, uint32_t events)
{
	struct call *c = ctx;

	loop_unwatch(c->gw->loop, &c->agent.watch);
	call_cancel(c, "client_left");
	answer_wake(c);
}

/* Over a unix socket, as agents in sandboxes have it, an end of input is a client that has said all and waits for its
 * answer, and one that left hangs up. Over TCP the two look alike. */
static uint32_t leaving_events(int fd)
{
	int domain = 0;
	socklen_t n = sizeof domain;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX)
		return EPOLLPRI; /* never comes; a hang-up is always told */
	return EPOLLRDHUP;
}

void front_watch(struct call *c)
{
	struct err err;

	if (c->agent.watch.events || c->agent.fd < 0 || c->agent.gone)
		return;
	c->agent.watch = (struct loop_watch){.fd = c->agent.fd, .ready = client_changed, .ctx = c};
	if (loop_watch(c->gw->loop, &c->agent.watch, leaving_events(c->agent.fd), &err))
		c->agent.fd = -1;
}

void front_resume(struct call *c)
{
	if (!c->agent.suspended)
		return;
	c->agent.suspended = false;
	MHD_resume_connection(c->agent.conn);
	c->gw->front_due = true;
}

static void front_ready(void *ctx, uint32_t events)
{
	struct gateway *gw = ctx;

	gw->front_due = true;
}

static void front_timeout(void *ctx)
{
	front_ready(ctx, 0);
}

bool front_run(struct gateway *gw)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;
	bool timed = true;

	if (!gw->front_due)
		return false;
	for (int i = 0; i < RUNS && gw->front_due; i++) {
		gw->front_due = false;
		MHD_run(gw->daemon);
		timed = MHD_get_timeout(gw->daemon, &wait_ms) == MHD_YES;
		gw->front_due |= timed && !wait_ms;
	}
	if (!timed)
		loop_unset(gw->loop, &gw->front_timer);
	else if (wait_ms &&
		 !gw->front_timer.slot) /* it fires early, if anything: then it is asked again */
		loop_set(gw->loop, &gw->front_timer, loop_now_ms(gw->loop) + (int64_t)wait_ms);
	return gw->front_due;
}

int front_open(struct gateway *gw, struct err *err)
{
	struct rlimit files = {0};

	getrlimit(RLIMIT_NOFILE, &files);
	/* A request may need two descriptors, and some are for other things. */
	unsigned most = files.rlim_cur > 1000000 ? 400000 : (unsigned)(files.rlim_cur / 2 - 32);
	gw->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO, 0, NULL, NULL, on_request,
		gw, MHD_OPTION_LISTEN_SOCKET, GATEWAY_FD_MODELS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HEAD_MAX, MHD_OPTION_CONNECTION_LIMIT, most, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)IDLE_S, MHD_OPTION_URI_LOG_CALLBACK, on_uri, gw,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, gw, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		gw->daemon ? MHD_get_daemon_info(gw->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (!info)
		return err_set(err, ERR_INFRA, 0, "libmicrohttpd does not take descriptor %d",
			       GATEWAY_FD_MODELS);
	gw->front_watch =
		(struct loop_watch){.fd = info->epoll_fd, .ready = front_ready, .ctx = gw};
	gw->front_timer = (struct loop_timer){.fire = front_timeout, .ctx = gw};
	gw->front_due = true;
	return loop_watch(gw->loop, &gw->front_watch, EPOLLIN, err);
}

void front_close(struct gateway *gw)
{
	if (!gw->daemon)
		return;
	loop_unwatch(gw->loop, &gw->front_watch);
	loop_unset(gw->loop, &gw->front_timer);
	/* It must find no connection suspended. */
	for (struct call *c = gw->calls; c; c = c->next) {
		call_cancel(c, "client_left");
		front_resume(c);
	}
	MHD_stop_daemon(gw->daemon);
	gw->daemon = NULL;
}
