/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/http.h"
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
	ANSWER_MAX = 64 << 20,
	HEAD_MAX = 64 << 10,
	CONNECT_MS = 10000,
	STALLED_SEC = 60,
	CONNECTIONS = 32,
	WAIT_MS = 1000,
};

struct http {
	CURLM *multi;
};

/* One call while it is under way. */
struct flight {
	struct http_call *call;
	CURL *easy;
	struct curl_slist *headers;
	int64_t at_ms; /* its next try; 0: it runs, or is over */
	int64_t sent, taken;
	bool over;
};

int http_new(struct http **out, struct err *err)
{
	struct http *h = xcalloc(1, sizeof *h);

	if (curl_global_init(CURL_GLOBAL_DEFAULT) || !(h->multi = curl_multi_init())) {
		free(h);
		return err_set(err, ERR_INFRA, 0, "libcurl does not start");
	}
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS);
	*out = h;
	return 0;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	curl_multi_cleanup(h->multi);
	free(h);
}

void http_call_release(struct http_call *c)
{
	free(c->url);
	strv_release(&c->headers);
	buf_release(&c->answer);
	buf_release(&c->head);
	c->url = NULL;
}

char *http_header(const struct http_call *c, const char *name)
{
	const size_t n = strlen(name);

	for (const char *line = c->head.data; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncasecmp(line, name, n) || line[n] != ':')
			continue;
		const char *value = line + n + 1 + strspn(line + n + 1, " \t");
		return xstrndup(value, strcspn(value, "\r\n"));
	}
	return NULL;
}

static size_t on_head(char *data, size_t size, size_t n, void *arg)
{
	struct flight *f = arg;

	if (!strncmp(data, "HTTP/", 5 < n ? 5 : n))
		buf_reset(&f->call->head); /* of an answer before this one: 100 Continue */
	if (f->call->head.len + n > HEAD_MAX)
		return 0;
	buf_add(&f->call->head, data, size * n);
	return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct flight *f = arg;
	struct http_call *c = f->call;
	long status = 0;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
	if (c->out_fd >= 0 && status / 100 == 2) {
		if (pwrite(c->out_fd, data, n, f->taken) != (ssize_t)n)
			return 0;
		f->taken += (int64_t)n;
		return n;
	}
	if (c->answer.len + n > ANSWER_MAX)
		return 0;
	buf_add(&c->answer, data, n);
	return size * n;
}

static size_t on_send(char *to, size_t size, size_t n, void *arg)
{
	struct flight *f = arg;
	const struct http_call *c = f->call;
	size_t room = size * n, left = c->body_len - (size_t)f->sent;

	if (room > left)
		room = left;
	if (c->body) {
		memcpy(to, (const char *)c->body + f->sent, room);
	} else if (room) {
		ssize_t got = pread(c->body_fd, to, room, c->body_from + f->sent);
		if (got <= 0)
			return CURL_READFUNC_ABORT;
		room = (size_t)got;
	}
	f->sent += (int64_t)room;
	return room;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct flight *f = arg;

	if (origin != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	f->sent = offset;
	return CURL_SEEKFUNC_OK;
}

static void set_body(struct flight *f)
{
	const struct http_call *c = f->call;
	const bool put = !strcmp(c->method, "PUT"), post = !strcmp(c->method, "POST");

	if (put) {
		curl_easy_setopt(f->easy, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(f->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)c->body_len);
	} else if (post) {
		curl_easy_setopt(f->easy, CURLOPT_POST, 1L);
		curl_easy_setopt(f->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body_len);
	} else if (!strcmp(c->method, "HEAD")) {
		curl_easy_setopt(f->easy, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(f->easy, CURLOPT_CUSTOMREQUEST, c->method);
	}
	if (!put && !post)
		return;
	curl_easy_setopt(f->easy, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(f->easy, CURLOPT_READDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(f->easy, CURLOPT_SEEKDATA, f);
}

static void set_headers(struct flight *f)
{
	struct http_call *c = f->call;
	AUTO(strv) struct strv all = STRV_INIT;

	strv_pushv(&all, strv_items(&c->headers));
	if (c->sign)
		c->sign(c->ctx, c, &all);
	f->headers = curl_slist_append(NULL, "Expect:");
	/* Nothing that was not asked for, or a signature would not hold. */
	f->headers = curl_slist_append(f->headers, "Accept:");
	bool typed = false;
	for (size_t i = 0; i < all.n; i++) {
		f->headers = curl_slist_append(f->headers, all.v[i]);
		typed |= !strncasecmp(all.v[i], "content-type:", 13);
	}
	if (!typed)
		f->headers = curl_slist_append(f->headers, "Content-Type:");
	curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, f->headers);
}

static void start(struct http *h, struct flight *f)
{
	struct http_call *c = f->call;
	const char *bundle = getenv("AWS_CA_BUNDLE");

	f->easy = curl_easy_init();
	f->at_ms = f->sent = f->taken = 0;
	c->status = 0;
	c->unheard = false;
	c->tries++;
	*c->why = '\0';
	buf_reset(&c->answer);
	buf_reset(&c->head);
	curl_easy_setopt(f->easy, CURLOPT_URL, c->url);
	curl_easy_setopt(f->easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(f->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(f->easy, CURLOPT_USERAGENT, "rollouts/" ROLLOUTS_VERSION);
	curl_easy_setopt(f->easy, CURLOPT_CONNECTTIMEOUT_MS,
			 (long)(c->timeout_ms ? c->timeout_ms : CONNECT_MS));
	curl_easy_setopt(f->easy, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
	curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(f->easy, CURLOPT_LOW_SPEED_TIME, (long)STALLED_SEC);
	curl_easy_setopt(f->easy, CURLOPT_ERRORBUFFER, c->why);
	curl_easy_setopt(f->easy, CURLOPT_HEADERFUNCTION, on_head);
	curl_easy_setopt(f->easy, CURLOPT_HEADERDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(f->easy, CURLOPT_WRITEDATA, f);
	curl_easy_setopt(f->easy, CURLOPT_PRIVATE, f);
	if (bundle && *bundle)
		curl_easy_setopt(f->easy, CURLOPT_CAINFO, bundle);
	if (c->direct)
		curl_easy_setopt(f->easy, CURLOPT_PROXY, "");
	set_body(f);
	set_headers(f);
	curl_multi_add_handle(h->multi, f->easy);
}

static void finish(struct http *h, struct flight *f, CURLcode code)
{
	struct http_call *c = f->call;

	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &c->status);
	if (code != CURLE_OK) {
		c->status = 0;
		if (!*c->why)
			snprintf(c->why, sizeof c->why, "%s", curl_easy_strerror(code));
		c->unheard = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
			     code == CURLE_COULDNT_RESOLVE_PROXY ||
			     code == CURLE_SSL_CONNECT_ERROR ||
			     code == CURLE_PEER_FAILED_VERIFICATION;
	}
	curl_multi_remove_handle(h->multi, f->easy);
	curl_easy_cleanup(f->easy);
	curl_slist_free_all(f->headers);
	f->easy = NULL;
	f->headers = NULL;
	int64_t wait = c->again ? c->again(c->ctx, c) : -1;
	f->over = wait < 0;
	f->at_ms = f->over ? 0 : clock_mono_ms() + wait + 1;
	if (!f->over && c->out_fd >= 0 && ftruncate(c->out_fd, 0))
		f->over = true;
}

/* Milliseconds to the next try of one that waits, at most WAIT_MS; what is due is started. */
static int begin(struct http *h, struct flight *flights, size_t n, size_t *running, size_t most)
{
	int64_t now = clock_mono_ms(), first = now + WAIT_MS;

	for (size_t i = 0; i < n; i++) {
		struct flight *f = &flights[i];
		if (f->over || f->easy)
			continue;
		if (f->at_ms <= now && *running < most) {
			start(h, f);
			++*running;
		} else if (f->at_ms > now && f->at_ms < first) {
			first = f->at_ms;
		}
	}
	return (int)(first - now);
}

void http_perform(struct http *h, struct http_call *const *calls, size_t n, size_t side_by_side)
{
	AUTO(free) struct flight *flights = xcalloc(n ? n : 1, sizeof *flights);
	size_t left = n, running = 0;

	for (size_t i = 0; i < n; i++)
		flights[i].call = calls[i];
	while (left) {
		int wait = begin(h, flights, n, &running, side_by_side), active, queued;
		curl_multi_perform(h->multi, &active);
		for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &queued));) {
			struct flight *f;
			if (m->msg != CURLMSG_DONE)
				continue;
			CURLcode code = m->data.result;
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&f);
			finish(h, f, code);
			running--;
			left -= f->over;
			wait = 0;
		}
		if (left && wait)
			curl_multi_poll(h->multi, NULL, 0, wait, NULL);
	}
}
