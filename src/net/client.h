/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * client.h -- HTTP requests through libcurl's multi interface, driven by a loop: many at a time,
 * connections kept and used again. The caller sets what a transfer is (URL, headers, callbacks) on its own
 * easy handles; proxies and certificates are curl's own defaults (HTTPS_PROXY, NO_PROXY ...; SSL_CERT_FILE).
 */
#pragma once
#include <curl/curl.h>
#include "net/loop.h"

struct http_client;

/* DONE is told of each transfer's end, outside curl's callbacks; the handle is no longer in the client
 * then and stays the caller's. CTX is that of the handle: CURLOPT_PRIVATE. */
int http_client_new(struct http_client **out, struct loop *l, long connections_kept,
		    void (*done)(void *ctx, CURL *easy, CURLcode code), struct err *err) MUST_CHECK;
void http_client_free(struct http_client *c); /* accepts NULL; no transfer may be in it */

/* A handle with the settings all transfers share. curl_easy_cleanup is the caller's. */
CURL *http_client_handle(struct http_client *c);
/* URL is copied. */
void http_client_url(CURL *easy, const char *url);
int http_client_start(struct http_client *c, CURL *easy, struct err *err) MUST_CHECK;
/* Not from within a callback of curl. DONE is not called. */
void http_client_cancel(struct http_client *c, CURL *easy);
/* Report what ended without a socket event (a transfer that failed at once, one that was resumed). To be
 * called before each wait. */
void http_client_reap(struct http_client *c);
/* Send at once what was started since the last wait. Not from within a callback of curl. */
void http_client_push(struct http_client *c);
/* Something may have ended since http_client_reap. */
bool http_client_has_news(const struct http_client *c);
