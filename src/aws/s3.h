/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * s3.h -- objects in S3, or in a store that speaks its language (MinIO, R2, versitygw: by AWS_ENDPOINT_URL_S3). All block. What is written
 * carries its SHA-256; what is large goes up in parts.
 */
#pragma once
#include "aws/aws.h"

/* "s3://BUCKET/PREFIX" */
struct s3_place {
	char *bucket, *prefix; /* prefix: without slashes at its ends; may be "" */
};
int s3_place_parse(struct s3_place *p, const char *url, struct err *err) MUST_CHECK;
void s3_place_release(struct s3_place *p);

struct s3 {
	struct aws *aws; /* borrowed */
	struct s3_place place;
	const char *sse,
		*kms_key; /* server-side encryption: "AES256", "aws:kms"; NULL: the bucket's own. Borrowed */
	bool no_checksums; /* this store refuses headers that it does not know: bodies are signed alone */
	int64_t part_bytes; /* what is larger goes up in parts of so much */
};
int s3_open(struct s3 *s, struct aws *a, const char *url, struct err *err) MUST_CHECK;
void s3_close(struct s3 *s);

struct s3_object {
	const char *key;  /* below the prefix; borrowed */
	const void *data; /* to put: borrowed; NULL: from fd, which is BYTES long */
	size_t bytes;
	int fd;	       /* -1: none. To get: the object goes there */
	bool only_new; /* If-None-Match: * */
	/* What came of it. */
	int rc;		 /* 0; 1: there is one already, or none to get; -1: err */
	struct buf text; /* what was got, where there is no fd; released by the caller */
	struct err err;
};
/* Put, or get, N objects side by side. -1: one or more failed; *ERR is the first one's. */
int s3_put(struct s3 *s, struct s3_object *objects, size_t n, struct err *err) MUST_CHECK;
int s3_get(struct s3 *s, struct s3_object *objects, size_t n, struct err *err) MUST_CHECK;
/* Whether KEY is there: 0; 1: it is not. */
int s3_head(struct s3 *s, const char *key, struct err *err) MUST_CHECK;
/* Objects below PREFIX, in the order of their keys, those behind AFTER (NULL: all). KEY is without the place's own prefix. */
typedef void s3_list_fn(void *arg, const char *key, int64_t bytes, const char *etag);
int s3_list(struct s3 *s, const char *prefix, const char *after, s3_list_fn *fn, void *arg,
	    struct err *err) MUST_CHECK;
/* Remove KEYS; those that are not there are removed. */
int s3_delete(struct s3 *s, const struct strv *keys, struct err *err) MUST_CHECK;
/* A request about the bucket itself (QUERY: "lifecycle"), or with NULL the bucket. BODY may be NULL. *STATUS: what HTTP said; the answer
 * goes to OUT. -1: there was no answer. */
int s3_bucket(struct s3 *s, const char *method, const char *query, const char *body, long *status,
	      struct buf *out, struct err *err) MUST_CHECK;
