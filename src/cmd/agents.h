/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agents.h -- the parts of `rollouts agents` that are files of their own.
 */
#pragma once
#include <stdatomic.h>
#include <sys/types.h>
#include "base/err.h"

/* Fetch an agent with npm into the cache, unless that version is there, and make it the one that is used.
 * WHAT is NAME or NAME@VERSION. Prints what it does; npm's own words only when it fails. Blocks as long as the
 * network takes, and while another process installs the same agent. */
int agents_install(const char *what, struct err *err) MUST_CHECK;

/* Have an agent make one call, by each API it speaks, of a model that is not one, in a local sandbox. Prints a
 * line for each that works; of the first that does not the end of its logs and *err. */
int agents_check(const char *name, struct err *err) MUST_CHECK;

/* What the stub says, and the tokens it counts for that. */
#define STUB_WORDS "Everything works."
#define STUB_TOKENS 110
/* Start a process that answers whoever connects to LISTENER, until it is killed, and counts its answers in CALLS, memory
 * that is shared with it. -1: errno. */
pid_t stub_start(int listener, atomic_uint *calls);
