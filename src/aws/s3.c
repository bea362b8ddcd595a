/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/s3.h"
#include <ctype.h>
#include <errno.h>
#include <md5.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "aws/s3-internal.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/mem.h"

enum { PART_BYTES = 32 << 20, PAGE = 1000, CONFLICT_TRIES = 5 };

int s3_place_parse(struct s3_place *p, const char *url, struct err *err)
{
	const char *bucket = url + 5;

	if (strncmp(url, "s3://", 5) || !*bucket || *bucket == '/')
		return err_set(err, ERR_USAGE, 0, "%s: a place in S3 is s3://BUCKET/PREFIX", url);
	size_t n = strcspn(bucket, "/");
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)bucket[i]) && !strchr(".-_", bucket[i]))
			return err_set(err, ERR_USAGE, 0, "%s: no bucket can have that name", url);
	const char *prefix = bucket + n + strspn(bucket + n, "/");
	size_t len = strlen(prefix);
	while (len && prefix[len - 1] == '/')
		len--;
	p->bucket = xstrndup(bucket, n);
	p->prefix = xstrndup(prefix, len);
	return 0;
}

void s3_place_release(struct s3_place *p)
{
	free(p->bucket);
	free(p->prefix);
	*p = (struct s3_place){0};
}

int s3_open(struct s3 *s, struct aws *a, const char *url, struct err *err)
{
	const char *when = profiles_setting(&a->profiles, "AWS_REQUEST_CHECKSUM_CALCULATION",
					    "request_checksum_calculation");

	*s = (struct s3){.aws = a,
			 .part_bytes = PART_BYTES,
			 .no_checksums = when && !strcasecmp(when, "when_required")};
	return s3_place_parse(&s->place, url, err);
}

void s3_close(struct s3 *s)
{
	s3_place_release(&s->place);
}

static char *describe(const struct s3 *s, const char *verb, const char *key)
{
	return xasprintf("%s s3://%s/%s%s%s", verb, s->place.bucket, s->place.prefix,
			 *s->place.prefix ? "/" : "", key ? key : "");
}

static int prepare_put(struct s3 *s, struct aws_call *c, struct s3_object *o)
{
	s3_call(s, c, "PUT", o->key, NULL);
	if (!o->data && !o->bytes)
		o->data = "";
	c->http.body = o->data;
	c->http.body_len = o->bytes;
	c->http.body_fd = o->fd;
	s3_add_encryption(s, c);
	if (o->only_new)
		strv_push(&c->http.headers, "If-None-Match: *");
	return s3_add_checksum(s, c, o->data, o->fd, 0, o->bytes, &o->err);
}

/* 409: another conditional write of that key is under way. */
static bool is_conflict(const struct aws_call *c)
{
	return c->http.status == 409 && c->code && !strcmp(c->code, "ConditionalRequestConflict");
}

static int first_error(const struct s3_object *objects, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++)
		if (objects[i].rc < 0) {
			*err = objects[i].err;
			return -1;
		}
	return 0;
}

static int put_all(struct s3 *s, struct s3_object *objects, size_t n, bool *learned,
		   struct err *err)
{
	AUTO(free) struct aws_call *calls = xcalloc(n ? n : 1, sizeof *calls);
	AUTO(free) struct aws_call **list = xcalloc(n ? n : 1, sizeof(struct aws_call *));
	AUTO(free) struct s3_object **of = xcalloc(n ? n : 1, sizeof(struct s3_object *));
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		struct s3_object *o = &objects[i];
		if ((int64_t)o->bytes > s->part_bytes) {
			o->rc = s3_put_parts(s, o, &o->err);
			continue;
		}
		o->rc = prepare_put(s, &calls[i], o);
		if (!o->rc) {
			of[k] = o;
			list[k++] = &calls[i];
		}
	}
	aws_perform(s->aws, list, k);
	for (size_t i = 0; i < k; i++) {
		AUTO(free) char *what = describe(s, "put", of[i]->key);
		for (int t = 0; is_conflict(list[i]) && t < CONFLICT_TRIES; t++) {
			usleep(200000);
			aws_perform(s->aws, &list[i], 1);
		}
		*learned |= s3_learns(s, list[i]);
		of[i]->rc = s3_outcome(list[i], what, &of[i]->err);
	}
	for (size_t i = 0; i < n; i++)
		aws_call_release(&calls[i]);
	return first_error(objects, n, err);
}

int s3_put(struct s3 *s, struct s3_object *objects, size_t n, struct err *err)
{
	bool learned = false;
	int rc = put_all(s, objects, n, &learned, err);

	return rc && learned ? put_all(s, objects, n, &learned, err) : rc;
}

int s3_get(struct s3 *s, struct s3_object *objects, size_t n, struct err *err)
{
	AUTO(free) struct aws_call *calls = xcalloc(n ? n : 1, sizeof *calls);
	AUTO(free) struct aws_call **list = xcalloc(n ? n : 1, sizeof(struct aws_call *));

	for (size_t i = 0; i < n; i++) {
		s3_call(s, &calls[i], "GET", objects[i].key, NULL);
		calls[i].http.out_fd = objects[i].fd;
		list[i] = &calls[i];
	}
	aws_perform(s->aws, list, n);
	for (size_t i = 0; i < n; i++) {
		AUTO(free) char *what = describe(s, "get", objects[i].key);
		objects[i].rc = s3_outcome(&calls[i], what, &objects[i].err);
		objects[i].text = (struct buf)BUF_INIT;
		if (!objects[i].rc) {
			objects[i].text = calls[i].http.answer;
			calls[i].http.answer = (struct buf)BUF_INIT;
		}
		aws_call_release(&calls[i]);
	}
	return first_error(objects, n, err);
}

int s3_head(struct s3 *s, const char *key, struct err *err)
{
	AUTO(aws_call) struct aws_call c;
	struct aws_call *call = &c;
	AUTO(free) char *what = describe(s, "look at", key);

	s3_call(s, &c, "HEAD", key, NULL);
	aws_perform(s->aws, &call, 1);
	return s3_outcome(&c, what, err);
}

static void hand_on(const struct s3 *s, const struct buf *page, s3_list_fn *fn, void *arg)
{
	const char *at = page->data, *end = page->data + page->len, *one;
	size_t n, own = strlen(s->place.prefix);

	while ((one = xml_next(&at, end, "Contents", &n))) {
		AUTO(free) char *key = xml_text(one, n, "Key");
		AUTO(free) char *size = xml_text(one, n, "Size");
		AUTO(free) char *etag = xml_text(one, n, "ETag");
		if (!key || strncmp(key, s->place.prefix, own))
			continue;
		const char *rest = key + own + (own && key[own] == '/');
		fn(arg, rest, size ? strtoll(size, NULL, 10) : 0, etag ? etag : "");
	}
}

static void add_place(const struct s3 *s, struct buf *query, const char *name, const char *key)
{
	AUTO(free)
	char *whole = *s->place.prefix ? xasprintf("%s/%s", s->place.prefix, key) : xstrdup(key);
	AUTO(free) char *encoded = sigv4_encode(whole, false);

	buf_addf(query, "&%s=%s", name, encoded);
}

int s3_list(struct s3 *s, const char *prefix, const char *after, s3_list_fn *fn, void *arg,
	    struct err *err)
{
	AUTO(free) char *next = NULL;
	AUTO(free) char *what = describe(s, "list", prefix);

	do {
		AUTO(aws_call) struct aws_call c;
		struct aws_call *call = &c;
		AUTO(buf) struct buf query = BUF_INIT;
		buf_addf(&query, "list-type=2&max-keys=%d", PAGE);
		add_place(s, &query, "prefix", prefix);
		if (next) {
			AUTO(free) char *encoded = sigv4_encode(next, false);
			buf_addf(&query, "&continuation-token=%s", encoded);
		} else if (after) {
			add_place(s, &query, "start-after", after);
		}
		s3_call(s, &c, "GET", NULL, query.data);
		aws_perform(s->aws, &call, 1);
		if (aws_result(&c, what, err))
			return -1;
		hand_on(s, &c.http.answer, fn, arg);
		free(next);
		next = xml_text(c.http.answer.data, c.http.answer.len, "NextContinuationToken");
		AUTO(free)
		char *more = xml_text(c.http.answer.data, c.http.answer.len, "IsTruncated");
		if (more && !strcmp(more, "true") && !next)
			return err_set(err, ERR_INFRA, 0, "%s: a page without its successor", what);
	} while (next && *next);
	return 0;
}

static void add_escaped(struct buf *out, const char *text)
{
	for (; *text; text++)
		if (*text == '&')
			buf_adds(out, "&amp;");
		else if (*text == '<')
			buf_adds(out, "&lt;");
		else
			buf_addc(out, *text);
}

static int delete_page(struct s3 *s, const struct strv *keys, size_t from, size_t to,
		       struct err *err)
{
	AUTO(aws_call) struct aws_call c;
	struct aws_call *call = &c;
	AUTO(buf) struct buf body = BUF_INIT, sum = BUF_INIT;
	uint8_t md5[MD5_DIGEST_LENGTH];
	MD5_CTX ctx;

	buf_adds(&body,
		 "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
	for (size_t i = from; i < to; i++) {
		buf_adds(&body, "<Object><Key>");
		if (*s->place.prefix) {
			add_escaped(&body, s->place.prefix);
			buf_addc(&body, '/');
		}
		add_escaped(&body, keys->v[i]);
		buf_adds(&body, "</Key></Object>");
	}
	buf_adds(&body, "</Delete>");
	s3_call(s, &c, "POST", NULL, "delete=");
	c.http.body = body.data;
	c.http.body_len = body.len;
	MD5Init(&ctx);
	MD5Update(&ctx, (const uint8_t *)body.data, body.len);
	MD5Final(md5, &ctx);
	base64_encode(&sum, md5, sizeof md5);
	strv_pushf(&c.http.headers, "Content-MD5: %s", sum.data);
	strv_push(&c.http.headers, "Content-Type: application/xml");
	aws_perform(s->aws, &call, 1);
	if (aws_result(&c, "remove objects", err))
		return -1;
	AUTO(free) char *why = xml_text(c.http.answer.data, c.http.answer.len, "Message");
	return why ? err_set(err, ERR_INFRA, 0, "remove objects: %s", why) : 0;
}

int s3_delete(struct s3 *s, const struct strv *keys, struct err *err)
{
	for (size_t i = 0; i < keys->n; i += PAGE)
		if (delete_page(s, keys, i, i + PAGE < keys->n ? i + PAGE : keys->n, err))
			return -1;
	return 0;
}

int s3_bucket(struct s3 *s, const char *method, const char *query, const char *body, long *status,
	      struct buf *out, struct err *err)
{
	AUTO(aws_call) struct aws_call c;
	struct aws_call *call = &c;
	struct err why;

	s3_call(s, &c, method, NULL, query);
	if (body) {
		c.http.body = body;
		c.http.body_len = strlen(body);
		if (s3_add_checksum(s, &c, body, -1, 0, c.http.body_len, err))
			return -1;
	}
	aws_perform(s->aws, &call, 1);
	*status = c.http.status;
	if (!c.http.status && aws_result(&c, s->place.bucket, &why)) {
		*err = why;
		return -1;
	}
	buf_add(out, c.http.answer.data, c.http.answer.len);
	return 0;
}
