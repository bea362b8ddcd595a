/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * http.h -- HTTP requests through libcurl, many side by side, each tried again as its owner says. Blocks until all have ended. Proxies and
 * certificates are curl's defaults (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE), and AWS_CA_BUNDLE.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"

struct http;
struct http_call;

/* Headers of a try: added to those of the call. */
typedef void http_sign_fn(void *ctx, const struct http_call *c, struct strv *headers);
/* After a try: milliseconds to wait before the next one, or -1: it is over. */
typedef int64_t http_again_fn(void *ctx, struct http_call *c);

struct http_call {
	const char *method;  /* literal */
	char *url;	     /* owned */
	struct strv headers; /* "Name: value" */
	const void *body;    /* borrowed; NULL: none, or that of body_fd */
	size_t body_len;
	int body_fd; /* -1: none; borrowed, read by position */
	int64_t body_from;
	int out_fd;	    /* where a body of 2xx goes, from its start; -1: to answer */
	int64_t timeout_ms; /* of a try; 0: as long as bytes come */
	bool direct;	    /* by no proxy */
	http_sign_fn *sign; /* may be NULL */
	http_again_fn *again;
	void *ctx;
	/* What came of it. */
	int tries;
	long status;  /* 0: no answer; why says why not */
	bool unheard; /* no connection was made: it cannot have had an effect */
	char why[256];
	struct buf answer, head; /* head: the lines of its header */
};
#define HTTP_CALL_INIT                                                                             \
	{                                                                                          \
		.method = "GET", .body_fd = -1, .out_fd = -1, .answer = BUF_INIT, .head = BUF_INIT \
	}

int http_new(struct http **out, struct err *err) MUST_CHECK;
void http_free(struct http *h); /* accepts NULL */
/* At most SIDE_BY_SIDE of them at a time. */
void http_perform(struct http *h, struct http_call *const *calls, size_t n, size_t side_by_side);
/* A header of the answer, NULL where it has none. The caller frees. */
char *http_header(const struct http_call *c, const char *name);
void http_call_release(struct http_call *c);
static inline void auto_http_call(struct http_call *c)
{
	http_call_release(c);
}
