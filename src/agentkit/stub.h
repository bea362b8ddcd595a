/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * stub.h -- a model that has one thing to say, in four dialects, streamed or not: what agentkit_check() has an
 * agent talk to.
 */
#pragma once
#include <stdatomic.h>
#include <sys/types.h>

/* What it says, and the tokens it counts for that. */
#define STUB_WORDS "Everything works."
#define STUB_TOKENS 110

/* Start a process that answers whoever connects to LISTENER, until it is killed, and counts its answers in
 * CALLS, memory that is shared with it. -1: errno. */
pid_t stub_start(int listener, atomic_uint *calls);
