/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agentkit.h -- getting a coding agent ready on this machine: fetch it, and try whether it works in a sandbox.
 */
#pragma once
#include <stddef.h>
#include "base/err.h"
#include "config/agents.h"

/* What happens meanwhile, for whoever waits. The texts are borrowed for the call, and untrusted: names,
 * versions and words of packages and agents are in them. */
struct agentkit_listener {
	void (*said)(void *arg, const char *line);
	/* A program's own words, many lines; TITLE says whose. They come only with a failure. */
	void (*output)(void *arg, const char *title, const char *text, size_t len);
	void *arg;
};

/* Fetch what the agent's file, or that of its base, names into the cache, unless it is there. Blocks as long as the network takes, and while another process installs the
 * same agent. Sets the process's umask. */
int agentkit_install(const struct agent_query *q, const struct agentkit_listener *l,
		     struct err *err) MUST_CHECK;

/* Have an agent make one call, by each API it speaks, of a model that is not one, in a sandbox of BACKEND ("local",
 * "landlock"). Says a line for each API that works, and of the first that does not the end of its logs; that one is *err. Blocks
 * for two minutes an API at most. */
int agentkit_check(const struct agent_query *q, const char *backend,
		   const struct agentkit_listener *l, struct err *err) MUST_CHECK;
