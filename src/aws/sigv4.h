/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sigv4.h -- AWS Signature Version 4: a request's headers signed, or a URL that carries its own signature. Pure: it reads no
 * clock, no environment, and speaks to nobody.
 *
 * URLs are given as they are sent: absolute, path and query percent-encoded. The signature does not depend on the order of the
 * query, on a missing `=`, or on which letters were encoded.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/strv.h"

struct sigv4 {
	const char *id, *secret; /* of the key */
	const char *token;	 /* of its session; NULL: it has none */
	const char *region, *service;
	int64_t wall_ms; /* when it is signed */
};

/* The hash of a body that is not signed; some stores refuse it. */
#define SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
/* Of an empty body. */
#define SIGV4_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Add to HEADERS ("Name: value") what makes them a signed request: x-amz-date, x-amz-security-token, Authorization, and of S3
 * x-amz-content-sha256. Host, content-type and all x-amz-* headers that are there are signed. PAYLOAD: SHA-256 of
 * the body as hex, or SIGV4_UNSIGNED. */
void sigv4_sign(const struct sigv4 *s, const char *method, const char *url, const char *payload,
		struct strv *headers);
/* URL with a signature in its query that holds for EXPIRES_SEC, at most a week; the body is not signed. The caller frees. */
char *sigv4_presign(const struct sigv4 *s, const char *method, const char *url,
		    int64_t expires_sec);

/* TEXT percent-encoded as AWS wants it; with KEEP_SLASH as a path. The caller frees. */
char *sigv4_encode(const char *text, bool keep_slash);
