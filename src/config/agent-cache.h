/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-cache.h -- where agents fetched by `rollouts agents install` lie, and what a file's [install] means:
 *
 *   CACHE/NAME/VERSION/      one installation, complete or not there (npm's package.json, node_modules/)
 *   CACHE/NAME/current       link to the version that is used: the one last installed
 *
 * CACHE is $XDG_CACHE_HOME/rollouts/agents, or ~/.cache/rollouts/agents.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"

/* An [install] table with its placeholders filled in: {version}, {arch} ("x64", "arm64") and {machine}
 * ("x86_64", "aarch64"). */
struct agent_install {
	char *version;
	char *folder;	     /* CACHE/NAME */
	struct strv npm;     /* packages, "NAME@VERSION" */
	struct strv program; /* below the installation: what stands for argv[0] */
};

/* SPEC is the `install` member; VERSION NULL means the one written there. ERR_USAGE: no exact version;
 * ERR_INFRA: there is no place for a cache. To be released when it succeeds. */
int agent_install_make(struct agent_install *out, const char *name, const json_t *spec, const char *version,
		       struct err *err) MUST_CHECK;
void agent_install_release(struct agent_install *i);
/* Whether VERSION of it is there with every file of `program`. */
bool agent_install_is_there(const struct agent_install *i);
/* The version that CACHE/NAME/current means, NULL when there is none. The caller frees. */
char *agent_install_current(const char *name);
