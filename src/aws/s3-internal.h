/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * s3-internal.h -- private to S3: requests as they are put together (s3-call.c), and what goes up in parts (s3-parts.c).
 */
#pragma once
#include "aws/s3.h"

/* C for METHOD on KEY (NULL: the bucket) with QUERY (NULL: none). */
void s3_call(struct s3 *s, struct aws_call *c, const char *method, const char *key,
	     const char *query);
/* Headers of an object that is written. */
void s3_add_encryption(const struct s3 *s, struct aws_call *c);
/* SHA-256 of BYTES of FD from AT on, or of DATA, into the call: its payload and its checksum header. */
int s3_add_checksum(const struct s3 *s, struct aws_call *c, const void *data, int fd, int64_t at,
		    size_t bytes, struct err *err) MUST_CHECK;
/* Whether C was refused for its checksum, which R2 and older stores do not know; it is sent without from here on. */
bool s3_learns(struct s3 *s, const struct aws_call *c);
/* Base64 of the call's payload hash, as S3 has checksums. Owned by the caller. */
char *s3_checksum_text(const struct aws_call *c);
/* What came of a conditional write or of a read: 0, 1, -1. */
int s3_outcome(const struct aws_call *c, const char *what, struct err *err);
/* O in parts. */
int s3_put_parts(struct s3 *s, struct s3_object *o, struct err *err);
