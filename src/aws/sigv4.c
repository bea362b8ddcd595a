/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/sigv4.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/mem.h"

enum { DIGEST = SHA256_DIGEST_LENGTH, STAMP = 17 };
#define ALGORITHM "AWS4-HMAC-SHA256"

static void hmac(const void *key, size_t key_len, const char *text, uint8_t out[DIGEST])
{
	char hex[HASH_HEX];

	hash_hmac(key, key_len, text, hex);
	for (size_t i = 0; i < DIGEST; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
		out[i] = (uint8_t)strtoul(two, NULL, 16);
	}
}

static void add_encoded(struct buf *out, const char *text, size_t n, bool keep_slash)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];
		if (isalnum(c) || strchr("-._~", c) || (keep_slash && c == '/'))
			buf_addc(out, (char)c);
		else
			buf_addf(out, "%%%02X", c);
	}
}

char *sigv4_encode(const char *text, bool keep_slash)
{
	struct buf out = BUF_INIT;

	add_encoded(&out, text, strlen(text), keep_slash);
	return buf_detach(&out);
}

static void add_decoded(struct buf *out, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '%' && i + 2 < n && isxdigit((unsigned char)text[i + 1]) &&
		    isxdigit((unsigned char)text[i + 2])) {
			char two[3] = {text[i + 1], text[i + 2], '\0'};
			buf_addc(out, (char)strtoul(two, NULL, 16));
			i += 2;
		} else {
			buf_addc(out, text[i]);
		}
	}
}

/* Encoded once, however it was written. */
static void add_normal(struct buf *out, const char *text, size_t n)
{
	AUTO(buf) struct buf plain = BUF_INIT;

	add_decoded(&plain, text, n);
	add_encoded(out, plain.data, plain.len, false);
}

/* The same of a path, in which an encoded slash is not a slash. */
static void add_normal_path(struct buf *out, const char *path, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (path[i] == '%' && i + 2 < n)
			buf_addf(out, "%%%c%c", toupper((unsigned char)path[i + 1]),
				 toupper((unsigned char)path[i + 2])),
				i += 2;
		else
			add_encoded(out, path + i, 1, true);
}

struct url {
	const char *host, *path, *query;
	size_t host_len, path_len;
};

static void take_apart(struct url *u, const char *url)
{
	const char *scheme_end = strstr(url, "://");
	const bool tls = !strncasecmp(url, "https:", 6);

	u->host = scheme_end ? scheme_end + 3 : url;
	u->host_len = strcspn(u->host, "/?#");
	u->path = u->host + u->host_len;
	u->path_len = strcspn(u->path, "?#");
	u->query = u->path[u->path_len] == '?' ? u->path + u->path_len + 1 : "";
	/* As an HTTP client sends it. */
	const char *port = tls ? ":443" : ":80";
	size_t n = strlen(port);
	if (u->host_len > n && !strncmp(u->host + u->host_len - n, port, n))
		u->host_len -= n;
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort(struct strv *s)
{
	if (s->n)
		qsort(s->v, s->n, sizeof *s->v, by_bytes);
}

/* Between a name and its value while lines are sorted: before all that a name can hold, so that a name goes before those that begin
 * with it. Neither '=' nor ':' does. */
#define BETWEEN '\1'

/* "name=value" in the order of names, then values. */
static void add_query(struct buf *out, const char *query)
{
	AUTO(strv) struct strv pairs = STRV_INIT;

	while (*query && *query != '#') {
		size_t n = strcspn(query, "&#"), name = strcspn(query, "=&#");
		AUTO(buf) struct buf pair = BUF_INIT;
		add_normal(&pair, query, name);
		buf_addc(&pair, BETWEEN);
		if (name < n)
			add_normal(&pair, query + name + 1, n - name - 1);
		if (n)
			strv_push(&pairs, pair.data);
		query += n + (query[n] == '&');
	}
	sort(&pairs);
	for (size_t i = 0; i < pairs.n; i++) {
		*strchr(pairs.v[i], BETWEEN) = '=';
		buf_addf(out, "%s%s", i ? "&" : "", pairs.v[i]);
	}
}

/* S3 signs paths as they are sent, everybody else encodes them once more. */
static void add_path(struct buf *out, const struct sigv4 *s, const struct url *u)
{
	AUTO(buf) struct buf path = BUF_INIT;

	add_normal_path(&path, u->path, u->path_len);
	if (!path.len)
		buf_addc(&path, '/');
	if (!strncmp(s->service, "s3", 2))
		buf_adds(out, path.data);
	else
		add_encoded(out, path.data, path.len, true);
}

static bool is_signed(const char *header)
{
	return !strncasecmp(header, "x-amz-", 6) || !strncasecmp(header, "content-type:", 13) ||
	       !strncasecmp(header, "host:", 5);
}

/* The name, small, and the value without needless space. */
static char *canonical_header(const char *header)
{
	struct buf out = BUF_INIT;
	const char *value = header + strcspn(header, ":");

	for (const char *p = header; p < value; p++)
		buf_addc(&out, (char)tolower((unsigned char)*p));
	buf_addc(&out, BETWEEN);
	value += *value == ':';
	value += strspn(value, " \t");
	for (; *value; value++)
		if (!strchr(" \t", *value))
			buf_addc(&out, *value);
		else if (value[1 + strspn(value + 1, " \t")] && out.data[out.len - 1] != ' ')
			buf_addc(&out, ' ');
	return buf_detach(&out);
}

static void add_headers(struct buf *out, struct buf *names, const struct url *u,
			const struct strv *headers)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	strv_pushf(&lines, "host%c%.*s", BETWEEN, (int)u->host_len, u->host);
	for (size_t i = 0; headers && i < headers->n; i++)
		if (is_signed(headers->v[i]) && strncasecmp(headers->v[i], "host:", 5))
			strv_take(&lines, canonical_header(headers->v[i]));
	sort(&lines);
	for (size_t i = 0; i < lines.n; i++) {
		*strchr(lines.v[i], BETWEEN) = ':';
		buf_addf(out, "%s\n", lines.v[i]);
		buf_addf(names, "%s%.*s", i ? ";" : "", (int)strcspn(lines.v[i], ":"), lines.v[i]);
	}
}

static void stamp(const struct sigv4 *s, char out[STAMP])
{
	time_t seconds = (time_t)(s->wall_ms / 1000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(out, STAMP, "%Y%m%dT%H%M%SZ", &tm);
}

/* Of the canonical request REQUEST. */
static void signature(const struct sigv4 *s, const char *when, const char *scope,
		      const struct buf *request, char out[HASH_HEX])
{
	char hash[HASH_HEX];
	uint8_t key[DIGEST];
	AUTO(free) char *first = xasprintf("AWS4%s", s->secret);
	AUTO(free) char *day = xstrndup(when, 8);

	hash_once(request->data, request->len, hash);
	AUTO(free)
	char *text = xasprintf(ALGORITHM "\n%s\n%s\n%s", when, scope, hash);
	hmac(first, strlen(first), day, key);
	hmac(key, sizeof key, s->region, key);
	hmac(key, sizeof key, s->service, key);
	hmac(key, sizeof key, "aws4_request", key);
	hash_hmac(key, sizeof key, text, out);
}

static char *scope_of(const struct sigv4 *s, const char *when)
{
	return xasprintf("%.8s/%s/%s/aws4_request", when, s->region, s->service);
}

void sigv4_sign(const struct sigv4 *s, const char *method, const char *url, const char *payload,
		struct strv *headers)
{
	char when[STAMP], hex[HASH_HEX];
	struct url u;
	AUTO(buf) struct buf request = BUF_INIT, names = BUF_INIT;

	take_apart(&u, url);
	stamp(s, when);
	strv_pushf(headers, "x-amz-date: %s", when);
	if (s->token)
		strv_pushf(headers, "x-amz-security-token: %s", s->token);
	if (!strncmp(s->service, "s3", 2))
		strv_pushf(headers, "x-amz-content-sha256: %s", payload);
	buf_addf(&request, "%s\n", method);
	add_path(&request, s, &u);
	buf_addc(&request, '\n');
	add_query(&request, u.query);
	buf_addc(&request, '\n');
	add_headers(&request, &names, &u, headers);
	buf_addf(&request, "\n%s\n%s", names.data, payload);
	AUTO(free) char *scope = scope_of(s, when);
	signature(s, when, scope, &request, hex);
	strv_pushf(headers,
		   "Authorization: " ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		   s->id, scope, names.data, hex);
}

char *sigv4_presign(const struct sigv4 *s, const char *method, const char *url, int64_t expires_sec)
{
	char when[STAMP], hex[HASH_HEX];
	AUTO(buf) struct buf request = BUF_INIT, names = BUF_INIT, query = BUF_INIT;
	struct buf out = BUF_INIT;
	struct url u;

	take_apart(&u, url);
	stamp(s, when);
	AUTO(free) char *scope = scope_of(s, when);
	AUTO(free) char *id = sigv4_encode(s->id, false);
	AUTO(free) char *where = sigv4_encode(scope, false);
	buf_addf(&query, "%.*s%s", (int)strcspn(u.query, "#"), u.query, *u.query ? "&" : "");
	buf_addf(&query,
		 "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential=%s%%2F%s&X-Amz-Date=%s"
		 "&X-Amz-Expires=%lld&X-Amz-SignedHeaders=host",
		 id, where, when, (long long)expires_sec);
	if (s->token) {
		AUTO(free) char *token = sigv4_encode(s->token, false);
		buf_addf(&query, "&X-Amz-Security-Token=%s", token);
	}
	buf_addf(&request, "%s\n", method);
	add_path(&request, s, &u);
	buf_addc(&request, '\n');
	add_query(&request, query.data);
	buf_addc(&request, '\n');
	add_headers(&request, &names, &u, NULL);
	buf_addf(&request, "\n%s\n" SIGV4_UNSIGNED, names.data);
	signature(s, when, scope, &request, hex);
	buf_addf(&out, "%.*s?%s&X-Amz-Signature=%s", (int)(u.path + u.path_len - url), url,
		 query.data, hex);
	return buf_detach(&out);
}
