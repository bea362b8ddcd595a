/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "aws/metadata.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "base/cleanup.h"
#include "base/mem.h"

enum { TIMEOUT_MS = 1000, TIMEOUT_MAX_SEC = 60, AGAIN_MS = 200, TRIES = 2 };

static int64_t again(void *ctx, struct http_call *c)
{
	return c->tries < TRIES && (!c->status || c->status >= 500) ? AGAIN_MS : -1;
}

static const char *service(void)
{
	const char *set = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");

	if (set && *set)
		return set;
	return mode && !strcasecmp(mode, "ipv6") ? "http://[fd00:ec2::254]"
						 : "http://169.254.169.254";
}

static int64_t timeout_ms(void)
{
	const char *set = getenv("AWS_METADATA_SERVICE_TIMEOUT");
	long sec = set ? strtol(set, NULL, 10) : 0;

	return sec > 0 && sec <= TIMEOUT_MAX_SEC ? sec * 1000 : TIMEOUT_MS;
}

static void ask(struct http *h, struct http_call *c, const char *path)
{
	const char *at = service();
	size_t n = strlen(at);

	while (n && at[n - 1] == '/')
		n--;
	c->url = xasprintf("%.*s/latest/%s", (int)n, at, path);
	c->timeout_ms = timeout_ms();
	c->direct = true;
	c->again = again;
	http_perform(h, &(struct http_call *){c}, 1, 1);
}

int metadata_get(struct buf *out, struct http *h, const char *path)
{
	const char *off = getenv("AWS_EC2_METADATA_DISABLED");
	AUTO(http_call) struct http_call token = HTTP_CALL_INIT, c = HTTP_CALL_INIT;

	if (off && !strcasecmp(off, "true"))
		return 1;
	token.method = "PUT";
	strv_push(&token.headers, "X-aws-ec2-metadata-token-ttl-seconds: 21600");
	ask(h, &token, "api/token");
	if (token.status != 200)
		return 1;
	strv_pushf(&c.headers, "X-aws-ec2-metadata-token: %s", token.answer.data);
	ask(h, &c, path);
	if (c.status != 200)
		return 1;
	buf_add(out, c.answer.data, c.answer.len);
	return 0;
}
