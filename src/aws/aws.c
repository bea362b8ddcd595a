/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/aws.h"
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include "aws/service.h"
#include "aws/sigv4.h"
#include "aws/xml.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"

enum {
	SIDE_BY_SIDE = 16,
	BACKOFF_MS = 200,
	BACKOFF_MAX_MS = 20000,
	TRIES = 9,
	RENEW_MS = 300000, /* before a key ends */
	SKEW_MS = 240000,
};

static int find_key(struct aws *a, struct err *err)
{
	struct credentials fresh = {0};

	if (credentials_find(&fresh, a->http, &a->profiles, a->region, err))
		return -1;
	credentials_release(&a->key);
	a->key = fresh;
	return 0;
}

int aws_open(struct aws *a, const char *region, struct err *err)
{
	*a = (struct aws){.side_by_side = SIDE_BY_SIDE, .backoff_ms = BACKOFF_MS, .tries = TRIES};
	if (profiles_read(&a->profiles, err) || http_new(&a->http, err))
		return -1;
	a->region = region ? xstrdup(region) : service_region(&a->profiles);
	if (!a->region)
		return err_set(
			err, ERR_USAGE, 0,
			"no region of AWS: set AWS_REGION, or `region` in the profile \"%s\"",
			a->profiles.chosen);
	return find_key(a, err);
}

void aws_close(struct aws *a)
{
	http_free(a->http);
	credentials_release(&a->key);
	profiles_release(&a->profiles);
	free(a->region);
	*a = (struct aws){0};
}

void aws_call_release(struct aws_call *c)
{
	http_call_release(&c->http);
	free(c->code);
	free(c->message);
	free(c->region);
	c->code = c->message = c->region = NULL;
}

static void sign(void *ctx, const struct http_call *http, struct strv *headers)
{
	struct aws_call *c = ctx;
	struct aws *a = c->aws;
	const char *region = c->region ? c->region : service_signing_region(c->service, a->region);

	sigv4_sign(&(struct sigv4){a->key.id, a->key.secret, a->key.token, region, c->service,
				   clock_wall_ms() + a->clock_off_ms},
		   http->method, http->url, c->payload, headers);
}

/* What the error is called: in XML, in JSON's __type, or a header of it. */
static void read_error(struct aws_call *c)
{
	const struct buf *t = &c->http.answer;

	free(c->code);
	free(c->message);
	c->code = c->message = NULL;
	if (!c->http.status || c->http.status / 100 == 2)
		return;
	if (t->len && t->data[0] == '{') {
		AUTO(json) json_t *j = json_loadb(t->data, t->len, 0, NULL);
		const char *type = json_get_str(j, "__type", json_get_str(j, "code", NULL));
		const char *sharp = type ? strrchr(type, '#') : NULL;
		c->code = xstrdup(sharp ? sharp + 1 : type);
		c->message = xstrdup(json_get_str(j, "message", json_get_str(j, "Message", NULL)));
	} else {
		c->code = xml_text(t->data, t->len, "Code");
		c->message = xml_text(t->data, t->len, "Message");
	}
	char *header = c->code ? NULL : http_header(&c->http, "x-amzn-ErrorType");
	if (header) {
		header[strcspn(header, ":")] = '\0';
		c->code = header;
	}
}

static bool is_code(const struct aws_call *c, const char *const *codes)
{
	for (; c->code && *codes; codes++)
		if (!strcmp(c->code, *codes))
			return true;
	return false;
}

static bool is_throttled(const struct aws_call *c)
{
	static const char *const codes[] = {"Throttling",
					    "ThrottlingException",
					    "ThrottledException",
					    "RequestThrottledException",
					    "TooManyRequestsException",
					    "RequestLimitExceeded",
					    "SlowDown",
					    "ServerException",
					    "PriorRequestNotComplete",
					    "RequestTimeout",
					    "OperationAborted",
					    "InternalError",
					    "ServiceUnavailable",
					    NULL};
	return c->http.status == 429 || c->http.status >= 500 || is_code(c, codes);
}

/* True once: the clock is set by AWS's. */
static bool mend_clock(struct aws_call *c)
{
	static const char *const codes[] = {"RequestTimeTooSkewed", "RequestExpired",
					    "InvalidSignatureException", "SignatureDoesNotMatch",
					    NULL};
	AUTO(free) char *date = http_header(&c->http, "Date");
	struct tm tm = {0};

	if (!is_code(c, codes) || !date || !strptime(date, "%a, %d %b %Y %H:%M:%S", &tm))
		return false;
	int64_t off = (int64_t)timegm(&tm) * 1000 - clock_wall_ms();
	if (llabs(off - c->aws->clock_off_ms) < SKEW_MS)
		return false;
	c->aws->clock_off_ms = off;
	return true;
}

/* A bucket of another region says so. True: the request goes there. */
static bool mend_region(struct aws_call *c)
{
	if (strcmp(c->service, "s3") != 0 || c->region ||
	    (c->http.status != 301 && c->http.status != 307 && c->http.status != 400))
		return false;
	char *region = http_header(&c->http, "x-amz-bucket-region");
	if (!region)
		region = xml_text(c->http.answer.data, c->http.answer.len, "Region");
	if (!region || !strcmp(region, c->aws->region)) {
		free(region);
		return false;
	}
	AUTO(free) char *from = xasprintf(".%s.", c->aws->region);
	char *at = strstr(c->http.url, from);
	if (at) {
		char *moved = xasprintf("%.*s.%s.%s", (int)(at - c->http.url), c->http.url, region,
					at + strlen(from));
		free(c->http.url);
		c->http.url = moved;
	}
	c->region = region;
	return true;
}

static bool mend_key(struct aws_call *c)
{
	static const char *const codes[] = {"ExpiredToken", "ExpiredTokenException",
					    "TokenRefreshRequired", NULL};
	struct err ignored;

	if (c->renewed || !is_code(c, codes))
		return false;
	c->renewed = true;
	return !find_key(c->aws, &ignored);
}

static int64_t wait_ms(const struct aws_call *c)
{
	uint32_t noise = 0;
	int64_t most = c->aws->backoff_ms << (c->http.tries - 1);
	AUTO(free) char *after = http_header(&c->http, "Retry-After");
	long asked = after ? strtol(after, NULL, 10) * 1000 : 0;

	if (most > BACKOFF_MAX_MS)
		most = BACKOFF_MAX_MS;
	if (getrandom(&noise, sizeof noise, 0) != sizeof noise)
		noise = 0;
	int64_t wait = most / 2 + (int64_t)(noise % (uint32_t)(most / 2 + 1));
	return asked > wait && asked <= BACKOFF_MAX_MS ? asked : wait;
}

static int64_t again(void *ctx, struct http_call *http)
{
	struct aws_call *c = ctx;

	read_error(c);
	if (http->status / 100 == 2 || http->tries >= c->aws->tries)
		return -1;
	if (!http->status)
		return c->once && !http->unheard ? -1 : wait_ms(c);
	if (mend_clock(c) || mend_region(c) || mend_key(c))
		return 0;
	if (!is_throttled(c) || http->status == 501)
		return -1;
	return c->once && http->status >= 500 && http->status != 503 ? -1 : wait_ms(c);
}

void aws_perform(struct aws *a, struct aws_call **calls, size_t n)
{
	AUTO(free) struct http_call **https = xcalloc(n ? n : 1, sizeof(struct http_call *));
	struct err ignored;

	if (a->key.expires_ms && a->key.expires_ms - clock_wall_ms() < RENEW_MS &&
	    find_key(a, &ignored))
		a->key.expires_ms = clock_wall_ms() + RENEW_MS * 2; /* the old one may hold yet */
	for (size_t i = 0; i < n; i++) {
		struct aws_call *c = calls[i];
		c->aws = a;
		c->http.sign = sign;
		c->http.again = again;
		c->http.ctx = c;
		if (!*c->payload && c->http.body)
			hash_once(c->http.body, c->http.body_len, c->payload);
		else if (!*c->payload)
			snprintf(c->payload, sizeof c->payload, "%s", SIGV4_EMPTY);
		https[i] = &c->http;
	}
	http_perform(a->http, https, n, a->side_by_side);
}

int aws_result(const struct aws_call *c, const char *what, struct err *err)
{
	static const char *const mendable[] = {"InvalidAccessKeyId",
					       "SignatureDoesNotMatch",
					       "AccessDenied",
					       "AccessDeniedException",
					       "UnrecognizedClientException",
					       "NoSuchBucket",
					       "InvalidClientTokenId",
					       "ExpiredToken",
					       "ExpiredTokenException",
					       "ClientException",
					       "AuthFailure",
					       "ValidationException",
					       NULL};

	if (c->http.status / 100 == 2)
		return 0;
	if (!c->http.status)
		return err_retry(err, 0, "%s: %s", what, *c->http.why ? c->http.why : "no answer");
	err_set(err, is_code(c, mendable) ? ERR_USAGE : ERR_INFRA, 0, "%s: HTTP %ld%s%s%s%s", what,
		c->http.status, c->code ? " " : "", c->code ? c->code : "", c->message ? ": " : "",
		c->message ? c->message : "");
	err->retry = is_throttled(c);
	return -1;
}

int aws_json(struct aws *a, const char *service, const char *path, const char *target,
	     const json_t *body, bool once, json_t **out, struct err *err)
{
	AUTO(aws_call)
	struct aws_call c = {.http = HTTP_CALL_INIT, .service = service, .once = once};
	AUTO(buf) struct buf text = BUF_INIT;
	struct aws_call *call = &c;
	bool ignored;

	AUTO(free)
	char *base = service_url(&a->profiles, service, service_signing_region(service, a->region),
				 &ignored);
	AUTO(free) char *what = xasprintf("%s %s", service, target ? target : path);
	json_format(&text, body, false);
	c.http.method = "POST";
	c.http.url = xasprintf("%s%s", base, path);
	c.http.body = text.data;
	c.http.body_len = text.len;
	strv_pushf(&c.http.headers, "Content-Type: application/%s",
		   target ? "x-amz-json-1.1" : "json");
	if (target)
		strv_pushf(&c.http.headers, "X-Amz-Target: %s", target);
	aws_perform(a, &call, 1);
	if (aws_result(&c, what, err))
		return -1;
	*out = c.http.answer.len ? json_loadb(c.http.answer.data, c.http.answer.len, 0, NULL)
				 : json_object();
	return *out ? 0 : err_set(err, ERR_INFRA, 0, "%s: its answer is no JSON", what);
}

int aws_form(struct aws *a, const char *service, const char *form, struct buf *out, struct err *err)
{
	AUTO(aws_call) struct aws_call c = {.http = HTTP_CALL_INIT, .service = service};
	struct aws_call *call = &c;
	bool ignored;

	AUTO(free)
	char *base = service_url(&a->profiles, service, service_signing_region(service, a->region),
				 &ignored);
	AUTO(free) char *what = xasprintf("%s %.*s", service, (int)strcspn(form, "&"), form);
	c.http.method = "POST";
	c.http.url = xasprintf("%s/", base);
	c.http.body = form;
	c.http.body_len = strlen(form);
	strv_push(&c.http.headers, "Content-Type: application/x-www-form-urlencoded");
	aws_perform(a, &call, 1);
	if (aws_result(&c, what, err))
		return -1;
	buf_add(out, c.http.answer.data, c.http.answer.len);
	return 0;
}
