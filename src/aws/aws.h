/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * aws.h -- one user of AWS in one region: signed requests to its services, many side by side, tried again while that may help (a service that is
 * busy or asks for less, a connection that broke, a key that ended, a clock that is wrong, a bucket that is in another region).
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "aws/credentials.h"
#include "aws/http.h"
#include "base/hash.h"

struct aws {
	struct profiles profiles;
	struct credentials key;
	char *region;
	struct http *http;
	int64_t clock_off_ms; /* what AWS's clock is ahead of ours */
	size_t side_by_side;
	int64_t backoff_ms; /* before a second try; doubles from there on */
	int tries;	    /* of a request, in all */
};
/* Of who is waited for by a person: a few seconds instead of half a minute. */
#define AWS_TRIES_SHORT 5

/* REGION: NULL for the user's own. ERR_USAGE where there is no region or no key. Blocks. */
int aws_open(struct aws *a, const char *region, struct err *err) MUST_CHECK;
void aws_close(struct aws *a);

struct aws_call {
	struct http_call http;	     /* url and headers without a signature */
	const char *service;	     /* literal */
	char payload[HASH_HEX + 32]; /* SHA-256 of the body, filled in when it is empty */
	bool once;		     /* what may have been heard is not said again */
	struct aws *aws;
	char *code, *message; /* of an error, by AWS; NULL: none */
	char *region;	      /* that it is signed for where not the user's: a bucket's; owned */
	bool renewed;
};
void aws_call_release(struct aws_call *c);
static inline void auto_aws_call(struct aws_call *c)
{
	aws_call_release(c);
}

/* Blocks until all have ended. What became of each is in it. */
void aws_perform(struct aws *a, struct aws_call **calls, size_t n);
/* 0 where C was answered with 2xx; else *ERR says what AWS said: ERR_USAGE for what the user can mend, ERR_INFRA for the rest. WHAT: what was
 * asked, for people. */
int aws_result(const struct aws_call *c, const char *what, struct err *err) MUST_CHECK;

/* POST BODY to PATH of SERVICE as JSON; *OUT is the answer, owned by the caller. TARGET: of services that want X-Amz-Target, or NULL. */
int aws_json(struct aws *a, const char *service, const char *path, const char *target,
	     const json_t *body, bool once, json_t **out, struct err *err) MUST_CHECK;
/* POST FORM to SERVICE ("Action=..."); *OUT is its answer in XML. */
int aws_form(struct aws *a, const char *service, const char *form, struct buf *out,
	     struct err *err) MUST_CHECK;
