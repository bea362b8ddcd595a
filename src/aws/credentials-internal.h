/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * credentials-internal.h -- private to the finding of a key: the services that give one.
 */
#pragma once
#include <stdbool.h>
#include "aws/credentials.h"

struct seeker {
	struct http *http;
	const struct profiles *profiles;
	const char *region; /* NULL: not known */
	int depth;	    /* of roles that are assumed by roles */
};

/* *C is set when 0 is returned; 1: there is none of that kind here. */
int credentials_container(struct credentials *c, const struct seeker *s, struct err *err);
int credentials_instance(struct credentials *c, const struct seeker *s, struct err *err);
int credentials_sso(struct credentials *c, const struct seeker *s, const char *profile,
		    struct err *err);
/* By BASE's key. */
int credentials_assume(struct credentials *c, const struct seeker *s, const char *profile,
		       const struct credentials *base, struct err *err);
int credentials_web_identity(struct credentials *c, const struct seeker *s, const char *profile,
			     struct err *err);
/* {"AccessKeyId", "SecretAccessKey", "Token" or "SessionToken", "Expiration"} */
int credentials_from_json(struct credentials *c, const char *text, size_t len, const char *from,
			  struct err *err);
/* "2026-11-30T21:00:00Z" -> wall milliseconds; 0 where it is none. */
int64_t credentials_time(const char *text);
