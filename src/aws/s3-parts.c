/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>
#include "aws/s3-internal.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/mem.h"

enum { PARTS_MAX = 9000, PART_ALIGN = 1 << 20 };

static int begin(struct s3 *s, const struct s3_object *o, char **id, struct err *err)
{
	AUTO(aws_call) struct aws_call c;
	struct aws_call *call = &c;

	s3_call(s, &c, "POST", o->key, "uploads=");
	s3_add_encryption(s, &c);
	if (!s->no_checksums)
		strv_push(&c.http.headers, "x-amz-checksum-algorithm: SHA256");
	aws_perform(s->aws, &call, 1);
	if (s3_learns(s, &c))
		return begin(s, o, id, err);
	if (aws_result(&c, "begin an upload in parts", err))
		return -1;
	*id = xml_text(c.http.answer.data, c.http.answer.len, "UploadId");
	return *id ? 0 : err_set(err, ERR_INFRA, 0, "an upload in parts got no id");
}

static void give_up(struct s3 *s, const struct s3_object *o, const char *id)
{
	AUTO(aws_call) struct aws_call c;
	struct aws_call *call = &c;
	AUTO(free) char *query = xasprintf("uploadId=%s", id);

	s3_call(s, &c, "DELETE", o->key, query);
	aws_perform(s->aws, &call, 1);
}

static int send_part(struct s3 *s, const struct s3_object *o, const char *id, size_t number,
		     int64_t from, size_t bytes, struct aws_call *c, struct err *err)
{
	AUTO(free) char *query = xasprintf("partNumber=%zu&uploadId=%s", number, id);

	s3_call(s, c, "PUT", o->key, query);
	c->http.body = o->data ? (const char *)o->data + from : NULL;
	c->http.body_fd = o->fd;
	c->http.body_from = from;
	c->http.body_len = bytes;
	return s3_add_checksum(s, c, c->http.body, o->fd, from, bytes, err);
}

/* *LIST: the parts as the end of the upload names them. */
static int send_parts(struct s3 *s, const struct s3_object *o, const char *id, struct buf *list,
		      struct err *err)
{
	int64_t each = s->part_bytes, least = (int64_t)o->bytes / PARTS_MAX;

	if (each < least)
		each = (least / PART_ALIGN + 1) * PART_ALIGN;
	size_t n = (o->bytes + (size_t)each - 1) / (size_t)each;
	AUTO(free) struct aws_call *calls = xcalloc(n, sizeof *calls);
	AUTO(free) struct aws_call **all = xcalloc(n, sizeof(struct aws_call *));
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i++) {
		int64_t from = (int64_t)i * each, left = (int64_t)o->bytes - from;
		all[i] = &calls[i];
		rc = send_part(s, o, id, i + 1, from, (size_t)(left < each ? left : each),
			       &calls[i], err);
	}
	if (!rc)
		aws_perform(s->aws, all, n);
	for (size_t i = 0; i < n; i++) {
		if (!rc)
			rc = aws_result(&calls[i], "send a part", err);
		AUTO(free) char *etag = rc ? NULL : http_header(&calls[i].http, "ETag");
		if (!rc) {
			AUTO(free) char *sum = s3_checksum_text(&calls[i]);
			buf_addf(list, "<Part><PartNumber>%zu</PartNumber><ETag>%s</ETag>", i + 1,
				 etag ? etag : "");
			if (!s->no_checksums)
				buf_addf(list, "<ChecksumSHA256>%s</ChecksumSHA256>", sum);
			buf_adds(list, "</Part>");
		}
		aws_call_release(&calls[i]);
	}
	return rc;
}

static int finish(struct s3 *s, const struct s3_object *o, const char *id, const struct buf *list,
		  struct err *err)
{
	AUTO(aws_call) struct aws_call c;
	struct aws_call *call = &c;
	AUTO(free) char *query = xasprintf("uploadId=%s", id);
	AUTO(free)
	char *body = xasprintf("<CompleteMultipartUpload "
			       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s"
			       "</CompleteMultipartUpload>",
			       list->data);

	s3_call(s, &c, "POST", o->key, query);
	c.http.body = body;
	c.http.body_len = strlen(body);
	strv_push(&c.http.headers, "Content-Type: application/xml");
	if (o->only_new)
		strv_push(&c.http.headers, "If-None-Match: *");
	aws_perform(s->aws, &call, 1);
	int rc = s3_outcome(&c, "end an upload in parts", err);
	/* A 200 may be an error: it was begun before the end was known. */
	AUTO(free) char *why = rc ? NULL : xml_text(c.http.answer.data, c.http.answer.len, "Error");
	return why ? err_set(err, ERR_INFRA, 0, "end an upload in parts: %s", why) : rc;
}

int s3_put_parts(struct s3 *s, struct s3_object *o, struct err *err)
{
	AUTO(free) char *id = NULL;
	AUTO(buf) struct buf list = BUF_INIT;

	if (begin(s, o, &id, err))
		return -1;
	AUTO(free) char *encoded = sigv4_encode(id, false);
	int rc = send_parts(s, o, encoded, &list, err);
	if (!rc)
		rc = finish(s, o, encoded, &list, err);
	if (rc)
		give_up(s, o, encoded);
	return rc;
}
