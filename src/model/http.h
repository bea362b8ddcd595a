/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * http.h -- one HTTP/1.0 request to the gateway's unix socket, in libc alone, for whoever asks a model. The answer is
 * a provider's: bounded, and not trusted.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"

#define HTTP_ANSWER_BYTES (64u << 20)

/* Who asks: where the gateway is, and how long the caller waits. Borrowed for each call. */
struct model_client {
	int socket_fd;	     /* O_PATH of the gateway's socket, from while it could be opened */
	const char *token;   /* stands in for a provider's key; NULL: none is sent */
	int64_t deadline_ms; /* clock_mono_ms; 0: never */
	int64_t (*deadline)(void *arg); /* the same, where it may move; NULL: it does not */
	void *arg;
	int news_fd;	   /* readable: the deadline may have moved; -1: nothing tells */
	int cancel_fds[2]; /* readable: the caller is to stop; -1: none */
};

struct http_answer {
	bool late;   /* the deadline came first: nothing else is set */
	bool broken; /* of a failed http_post: it was asked, and no whole answer came */
	int status;  /* of HTTP */
	struct buf head, body;
};
#define HTTP_ANSWER_INIT                                                                           \
	{                                                                                          \
		.head = BUF_INIT, .body = BUF_INIT                                                 \
	}

/* POST BODY to PATH. HEADERS are whole lines, each with its CR LF. Waits as long as the deadline allows; a gateway that
 * is just being started again is waited for. OUT must be released in any case. -1: ERR_CANCELLED, or ERR_INFRA
 * (retry) when there is no gateway or no whole answer. */
int http_post(const struct model_client *c, const char *path, const char *headers,
	      const struct buf *body, struct http_answer *out, struct err *err) MUST_CHECK;
void http_answer_release(struct http_answer *a);
/* Wait MS milliseconds as C waits. 0: they passed; 1: the deadline came first; -1: ERR_CANCELLED, ERR_INFRA. */
int http_pause(const struct model_client *c, int64_t ms, struct err *err) MUST_CHECK;

static inline void auto_http_answer(struct http_answer *a)
{
	http_answer_release(a);
}
