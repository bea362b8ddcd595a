/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "gateway/internal.h"
#include "model/conversation.h"

enum { IDLE_MAX = 512, HEADERS_MAX = 128 << 10, SAFE_CURL = 0x080400 };

/* Of one connection only, or made anew by the server of the other. */
static bool is_hop_by_hop(const char *name, size_t len)
{
	static const char *const names[] = {"connection",	 "keep-alive", "proxy-authenticate",
					    "proxy-connection",	 "te",	       "trailer",
					    "transfer-encoding", "upgrade",    "content-length"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if ((*name | 32) == *names[i] && strlen(names[i]) == len &&
		    strncasecmp(names[i], name, len) == 0)
			return true;
	return false;
}

static const char *trimmed(const char *s, size_t *n)
{
	while (*n && (*s == ' ' || *s == '\t')) {
		s++;
		(*n)--;
	}
	while (*n &&
	       (s[*n - 1] == '\r' || s[*n - 1] == '\n' || s[*n - 1] == ' ' || s[*n - 1] == '\t'))
		(*n)--;
	return s;
}

static void notable_header(struct call *c, const char *name, const char *value)
{
	if (strcasecmp(name, "content-length") == 0)
		c->answer.length = strtoll(value, NULL, 10);
	else if (strcasecmp(name, "content-type") == 0)
		c->answer.is_events = strncasecmp(value, "text/event-stream", 17) == 0;
	else if (strcasecmp(name, "retry-after") == 0)
		snprintf(c->try.retry_after, sizeof c->try.retry_after, "%s", value);
	else if (strcasecmp(name, "retry-after-ms") == 0)
		c->try.retry_after_ms = *value >= '0' && *value <= '9' ? strtod(value, NULL) : -1;
	else if (strcasecmp(name, "date") == 0)
		snprintf(c->try.date, sizeof c->try.date, "%s", value);
	else if (strcasecmp(name, "content-encoding") == 0)
		c->try.encoded = strcasecmp(value, "identity") != 0;
	else
		quota_header(&c->try.report, name, value, clock_wall_ms());
}

static void take_header(struct call *c, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);

	if (!colon || colon == line)
		return;
	size_t name_len = (size_t)(colon - line), value_len = n - name_len - 1;
	const char *value = trimmed(colon + 1, &value_len);
	if (memchr(line, '\0', n) || c->answer.headers.len + n > HEADERS_MAX)
		return;
	size_t at = c->answer.headers.len;
	buf_add(&c->answer.headers, line, name_len);
	buf_addc(&c->answer.headers, '\0');
	buf_add(&c->answer.headers, value, value_len);
	buf_addc(&c->answer.headers, '\0');
	notable_header(c, c->answer.headers.data + at, c->answer.headers.data + at + name_len + 1);
	if (is_hop_by_hop(c->answer.headers.data + at, name_len) ||
	    strcasecmp(c->answer.headers.data + at, "content-encoding") == 0)
		c->answer.headers.len = at;
}

/* The head is whole. A date is one of the provider's clock, which may go wrong by hours. */
static void head_ends(struct call *c)
{
	if (c->try.retry_after_ms >= 0) {
		c->try.retry_after_s = c->try.retry_after_ms / 1000;
	} else if (*c->try.retry_after) {
		int64_t now = quota_date_ms(c->try.date);
		c->try.retry_after_s =
			quota_retry_after(c->try.retry_after, now ? now : clock_wall_ms());
	}
	if (c->try.encoded)
		c->answer.length = -1;
	c->try.head_seen = true;
	answer_got_head(c);
}

/* One line of the head; an empty one ends it. An informational answer (1xx) comes before the real one. */
static size_t on_header(char *line, size_t one, size_t n, void *ctx)
{
	struct call *c = ctx;

	if (c->try.head_seen) /* a trailer */
		return n;
	c->times.byte_ms = loop_now_ms(c->gw->loop);
	if (n > 5 && memcmp(line, "HTTP/", 5) == 0) {
		const char *code = memchr(line, ' ', n);
		c->answer.status = code ? (int)strtol(code, NULL, 10) : 0;
		buf_reset(&c->answer.headers);
		c->answer.length = -1;
	} else if (n <= 2 && (*line == '\r' || *line == '\n')) {
		if (c->answer.status >= 200)
			head_ends(c);
	} else {
		take_header(c, line, n);
	}
	return n;
}

static size_t on_bytes(char *data, size_t one, size_t n, void *ctx)
{
	struct call *c = ctx;

	return answer_got_bytes(c, data, n) ? n : c->try.endless ? 0 : CURL_WRITEFUNC_PAUSE;
}

static CURL *take_handle(struct gateway *gw)
{
	if (gw->idle_n)
		return gw->idle[--gw->idle_n];
	CURL *easy = http_client_handle(gw->client);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)gw->doc.connect_ms);
	/* What comes compressed all the same is decoded: the meter and the recording read it. */
	curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "identity");
	return easy;
}

/* libcurl 7.88 keeps a pointer into the headers of a handle's last answer after it freed them, and follows
 * it when the next head starts with a folded line: there, a handle is used once. Connections are not theirs. */
static bool may_use_again(void)
{
	return curl_version_info(CURLVERSION_NOW)->version_num >= SAFE_CURL;
}

static void give_handle(struct gateway *gw, CURL *easy)
{
	if (gw->idle_n >= IDLE_MAX || !may_use_again()) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
	GROW(gw->idle, gw->idle_n, gw->idle_cap);
	gw->idle[gw->idle_n++] = easy;
}

void upstream_free_all(struct gateway *gw)
{
	while (gw->idle_n)
		curl_easy_cleanup(gw->idle[--gw->idle_n]);
	free(gw->idle);
	gw->idle = NULL;
}

/* The agent's headers come first; what differs from try to try, the key, is put in front of them. */
static struct curl_slist *with_key(struct call *c)
{
	if (!c->turn.key_used)
		return c->asked.headers;
	AUTO(buf) struct buf line = BUF_INIT;
	const char *own = c->provider->key_header;
	const char *form = own ? own : dialects[c->asked.endpoint.api]->key;
	const char *mark = own ? "{key}" : "%s", *hole = strstr(form, mark);
	buf_add(&line, form, (size_t)(hole - form));
	buf_adds(&line, c->turn.key_used->key);
	buf_adds(&line, hole + strlen(mark));
	struct curl_slist *first = curl_slist_append(NULL, line.data);
	explicit_bzero(line.data, line.len);
	if (!first)
		bug("curl_slist_append");
	first->next = c->asked.headers;
	return first;
}

static void drop_key(struct call *c)
{
	struct curl_slist *first = c->try.sent_headers;

	if (first && first != c->asked.headers) {
		first->next = NULL;
		explicit_bzero(first->data, strlen(first->data));
		curl_slist_free_all(first);
	}
	c->try.sent_headers = NULL;
}

static void forget_answer(struct call *c)
{
	c->answer.status = 0;
	c->try.head_seen = c->answer.is_events = c->try.kept = c->try.paused = false;
	c->try.endless = false;
	c->try.bytes = 0;
	c->answer.length = -1;
	c->try.retry_after_s = c->try.retry_after_ms = -1;
	c->try.retry_after[0] = c->try.reason[0] = '\0';
	*c->try.date = '\0';
	c->try.encoded = false;
	c->try.report = (struct quota_report)QUOTA_REPORT_INIT;
	buf_reset(&c->answer.headers);
	buf_reset(&c->answer.out);
	buf_reset(&c->answer.held);
	key_mask_release(&c->answer.mask);
	c->answer.out_at = 0;
	c->error[0] = '\0';
}

int upstream_start(struct call *c, void (*ended)(struct call *c, CURLcode code), struct err *err)
{
	struct gateway *gw = c->gw;
	AUTO(buf) struct buf url = BUF_INIT;
	CURL *easy = take_handle(gw);

	forget_answer(c);
	endpoint_url(&url, c->provider->base_url, c->provider->paths[c->asked.endpoint.api],
		     &c->asked.endpoint, c->asked.target.data, c->asked.target.len);
	c->try.sent_headers = with_key(c);
	http_client_url(easy, url.data);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->try.sent_headers);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, c);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, c);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->try.reason);
	if (strcmp(c->asked.method, "GET") == 0) {
		curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	} else {
		curl_easy_setopt(easy, CURLOPT_POST, 1L);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->asked.body.len);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, c->asked.body.data);
	}
	if (http_client_start(gw->client, easy, err)) {
		drop_key(c);
		give_handle(gw, easy);
		return -1;
	}
	c->try.easy = easy;
	c->try.ended = ended;
	return 0;
}

static void let_go(struct call *c)
{
	CURL *easy = c->try.easy;

	c->try.easy = NULL;
	give_handle(c->gw, easy);
	drop_key(c);
}

void upstream_stop(struct call *c)
{
	if (!c->try.easy)
		return;
	http_client_cancel(c->gw->client, c->try.easy);
	let_go(c);
}

void upstream_go_on(struct call *c)
{
	c->try.paused = false;
	if (c->try.easy)
		curl_easy_pause(c->try.easy, CURLPAUSE_CONT);
}

/* Why a try failed, in a form that somebody can act on. */
static void explain(struct call *c, CURL *easy, CURLcode code)
{
	bool certificate =
		code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
	const char *words = *c->try.reason ? c->try.reason : curl_easy_strerror(code), *host;
	char name[128] = "";
	long proxy = 0;

	curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &proxy);
	if (proxy >= 300) {
		snprintf(c->error, sizeof c->error, "the proxy answers %ld (asking %.120s)", proxy,
			 c->provider->base_url);
		return;
	}
	/* curl names whom it turned to: where that is not the provider, it is a proxy. */
	host = strstr(words, "connect to ");
	if (host)
		sscanf(host, "connect to %127s", name);
	snprintf(c->error, sizeof c->error, "%.120s%s (asking %.100s)%s", words,
		 *name && !strstr(c->provider->base_url, name) ? " through the proxy" : "",
		 c->provider->base_url,
		 certificate ? "; the variable SSL_CERT_FILE names a file of authorities" : "");
}

void upstream_done(void *ctx, CURL *easy, CURLcode code)
{
	struct call *c = ctx;

	if (c->try.endless)
		snprintf(c->error, sizeof c->error, "its answer is longer than %lld bytes",
			 (long long)c->gw->doc.answer_bytes);
	else if (code)
		explain(c, easy, code);
	let_go(c);
	c->try.ended(c, code);
}
