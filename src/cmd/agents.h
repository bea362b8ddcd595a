/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agents.h -- the parts of `rollouts agents` that are files of their own.
 */
#pragma once
#include "base/err.h"

/* Fetch an agent with npm into the cache, unless that version is there, and make it the one that is used.
 * WHAT is NAME or NAME@VERSION. Prints what it does; npm's own words only when it fails. Blocks as long as the
 * network takes, and while another process installs the same agent. */
int agents_install(const char *what, struct err *err) MUST_CHECK;
