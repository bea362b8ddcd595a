/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lookups.h -- private to agentkit: the hosts that a sandbox without a network looks up. The C library (glibc) asks nscd by a socket, where there is
 * one, before it asks anybody else: this is one that knows nobody. Programs with a resolver of their own are not seen.
 */
#pragma once
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include "base/strv.h"

#define LOOKUPS_BOX "/var/run/nscd/socket" /* where the C library looks */

enum { LOOKUP_HOSTS = 16, LOOKUP_NAME = 128 };

/* Shared with the process that answers. */
struct lookups {
	atomic_uint n;
	struct lookup {
		char host[LOOKUP_NAME]; /* letters, digits, dots, dashes and underscores */
		unsigned times;
		int64_t first_ms, last_ms;
	} v[LOOKUP_HOSTS];
};

/* Start a process that answers whoever connects to LISTENER, until it is killed. -1: errno. */
pid_t lookups_start(int listener, struct lookups *l);
/* A line for each host: how often it was looked up, and how long from the first time to the last. */
void lookups_tell(const struct lookups *l, struct strv *lines);
