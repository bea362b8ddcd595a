/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * credentials.h -- the user's key of AWS, found as AWS's own programs find it: the environment; a role to be assumed (by another profile's key, or
 * a web identity's token); single sign-on, by the token that `aws sso login` left; the profile's keys; its credential_process; the container's
 * service; the instance's (IMDSv2). It is asked for again before it ends.
 */
#pragma once
#include <stdint.h>
#include "aws/http.h"
#include "aws/profile.h"

struct credentials {
	char *id, *secret, *token; /* token: NULL where it has none */
	int64_t expires_ms;	   /* wall; 0: never */
	char *from;		   /* where it was found, for people */
};

/* Blocks: programs are run and services asked, each for seconds. REGION is used where a service is asked. ERR_USAGE where there is no
 * key, or what the user set up does not give one: the message says which, and what to do. */
int credentials_find(struct credentials *c, struct http *h, const struct profiles *p,
		     const char *region, struct err *err) MUST_CHECK;
void credentials_release(struct credentials *c);
