/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * process.h -- the parent's side of gateway.h: makes the sockets, starts libexec/rollouts-gateway on them, hears
 * its event lines, starts it again when it died. The sockets outlive a gateway, so that whatever is connected
 * to them in running sandboxes reaches the next one.
 */
#pragma once
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

#define GATEWAY_PROCESS_FDS 2

struct gateway_process; /* opaque */

/* Of all gateways since the start. */
struct gateway_totals {
	int64_t calls, tokens, unpriced_calls;
	double usd;
	int64_t waiting; /* calls that wait for quota now */
};

struct gateway_spec {
	const char *program; /* absolute path of rollouts-gateway; borrowed for the call */
	int dir_fd; /* where the sockets are made: nobody else uses it; borrowed until stop. -1: see listener */
	/* Without a folder: the one socket for requests, borrowed for the call. It has no workers, and a gateway
	 * that dies is not started again. */
	int listener;
	int log_fd;		/* for its standard error; borrowed for the call */
	const json_t *document; /* see gateway.h; borrowed until stop. Holds keys */
	/* A line for people: a note of the gateway, its death, its return. Untrusted text. */
	void (*note)(void *arg, const char *text);
	void *arg;
};

/* Replaces sockets that a killed supervisor left. Blocks until the gateway is ready, at most half a minute.
 * ERR_INFRA; with the gateway's own words where it said why. */
int gateway_process_start(struct gateway_process **out, const struct gateway_spec *spec,
			  struct err *err) MUST_CHECK;
/* Fills GATEWAY_PROCESS_FDS of FDS; returns how many. */
size_t gateway_process_watch(const struct gateway_process *p, struct pollfd *fds);
/* Take in what was polled; start it again when that is due. Does not block. */
void gateway_process_turn(struct gateway_process *p, const struct pollfd *fds);
/* When it is to be started again (clock_mono_ms); -1: it runs. */
int64_t gateway_process_due(const struct gateway_process *p);
/* It takes requests. */
bool gateway_process_is_ready(const struct gateway_process *p);
/* Why it was given up, or NULL. */
const char *gateway_process_failure(const struct gateway_process *p);
const struct gateway_totals *gateway_process_totals(const struct gateway_process *p);
/* How often it has ended by itself: what it did last is not in the totals then. */
int gateway_process_deaths(const struct gateway_process *p);
/* Ask it to leave and wait some seconds for its last totals; it is killed after that. */
void gateway_process_leave(struct gateway_process *p);
/* The same, if that was not done; then remove the sockets, free. Accepts NULL. */
void gateway_process_stop(struct gateway_process *p);
