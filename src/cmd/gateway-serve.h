/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * gateway-serve.h -- a gateway without a rollout: one socket for requests, no workers, and whoever reaches it is served.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "gatewaylink/process.h"

/* A unix socket at PATH that only this user reaches. One that nobody listens on any more is replaced; anything else is
 * not ours to remove. Returns a descriptor. */
int gateway_listen(const char *path, struct err *err) MUST_CHECK;
/* Serve LISTENER, with DOCUMENT (gatewaylink/gateway.h), until UNTIL_FD is readable; what it says is printed on standard
 * error. TOTALS are known also when it failed. -1: it did not start, or ended by itself. */
int gateway_serve(struct gateway_totals *totals, int listener, const json_t *document, int until_fd,
		  struct err *err) MUST_CHECK;
