/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "aws/s3-internal.h"
#include "aws/service.h"
#include "aws/sigv4.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/mem.h"

enum { HASH_CHUNK = 1 << 20 };

static char *url_of(struct s3 *s, const char *key, const char *query)
{
	bool own;
	AUTO(free) char *base = service_url(&s->aws->profiles, "s3", s->aws->region, &own);
	AUTO(free)
	char *whole = !key		 ? xstrdup("")
		      : *s->place.prefix ? xasprintf("%s/%s", s->place.prefix, key)
					 : xstrdup(key);
	AUTO(free) char *path = sigv4_encode(whole, true);
	const char *more = query ? query : "", *sign = query ? "?" : "";

	/* A name with a dot is no name in a wildcard certificate, and stores of one's own have no names for buckets. */
	if (own || strchr(s->place.bucket, '.'))
		return xasprintf("%s/%s%s%s%s%s", base, s->place.bucket, key ? "/" : "", path, sign,
				 more);
	return xasprintf("https://%s.%s/%s%s%s", s->place.bucket, base + strlen("https://"), path,
			 sign, more);
}

void s3_call(struct s3 *s, struct aws_call *c, const char *method, const char *key,
	     const char *query)
{
	*c = (struct aws_call){.http = HTTP_CALL_INIT, .service = "s3"};
	c->http.method = method;
	c->http.url = url_of(s, key, query);
}

void s3_add_encryption(const struct s3 *s, struct aws_call *c)
{
	if (s->sse)
		strv_pushf(&c->http.headers, "x-amz-server-side-encryption: %s", s->sse);
	if (s->kms_key)
		strv_pushf(&c->http.headers, "x-amz-server-side-encryption-aws-kms-key-id: %s",
			   s->kms_key);
}

char *s3_checksum_text(const struct aws_call *c)
{
	AUTO(buf) struct buf text = BUF_INIT;
	uint8_t digest[SHA256_DIGEST_LENGTH];

	for (size_t i = 0; i < sizeof digest; i++) {
		char two[3] = {c->payload[2 * i], c->payload[2 * i + 1], '\0'};
		digest[i] = (uint8_t)strtoul(two, NULL, 16);
	}
	base64_encode(&text, digest, sizeof digest);
	return buf_detach(&text);
}

int s3_add_checksum(const struct s3 *s, struct aws_call *c, const void *data, int fd, int64_t at,
		    size_t bytes, struct err *err)
{
	struct hash h;

	hash_init(&h);
	if (data)
		hash_bytes(&h, data, bytes);
	AUTO(free) char *chunk = data ? NULL : xmalloc(HASH_CHUNK);
	for (size_t done = 0; !data && done < bytes;) {
		size_t want = bytes - done < HASH_CHUNK ? bytes - done : HASH_CHUNK;
		ssize_t n = pread(fd, chunk, want, at + (int64_t)done);
		if (n <= 0)
			return err_set(err, ERR_INFRA, n ? errno : 0, "read what is to be sent");
		hash_bytes(&h, chunk, (size_t)n);
		done += (size_t)n;
	}
	hash_hex(&h, c->payload);
	AUTO(free) char *text = s3_checksum_text(c);
	if (!s->no_checksums)
		strv_pushf(&c->http.headers, "x-amz-checksum-sha256: %s", text);
	return 0;
}

int s3_outcome(const struct aws_call *c, const char *what, struct err *err)
{
	if (c->http.status == 412 || (c->http.status == 404 && !c->code) ||
	    (c->code && !strcmp(c->code, "NoSuchKey")))
		return 1;
	return aws_result(c, what, err);
}

/* The body is another one than its checksum says. */
static bool is_digest(const struct aws_call *c)
{
	return c->code && (!strcmp(c->code, "BadDigest") || strstr(c->code, "Mismatch"));
}

bool s3_learns(struct s3 *s, const struct aws_call *c)
{
	if (s->no_checksums || c->http.status / 100 == 2 ||
	    !(c->http.status == 501 || (c->http.status == 400 && c->message &&
					strcasestr(c->message, "checksum") && !is_digest(c))))
		return false;
	s->no_checksums = true;
	return true;
}
