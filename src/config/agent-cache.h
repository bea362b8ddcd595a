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
#include "base/hash.h"
#include "base/strv.h"

/* An [install] table with its placeholders filled in: {version}, {arch} ("x64", "arm64") and {machine}
 * ("x86_64", "aarch64"). */
struct agent_install {
	char *version;
	char *folder;	 /* CACHE/NAME */
	char *before;	 /* what packages depend on is taken as it was then; NULL: as it is now */
	struct strv npm; /* packages, "NAME@VERSION" */
	struct strv program; /* below the installation: what stands for argv[0] */
};

/* SPEC is the `install` member; VERSION NULL means the one written there, and only for that `before` is meant.
 * ERR_USAGE: no exact version; ERR_INFRA: there is no place for a cache. To be released when it succeeds. */
int agent_install_make(struct agent_install *out, const char *name, const json_t *spec,
		       const char *version, struct err *err) MUST_CHECK;
void agent_install_release(struct agent_install *i);
/* Whether VERSION of it is there with every file of `program`. */
bool agent_install_is_there(const struct agent_install *i);
/* Hash of the tree that npm resolved: where each package lies, its version, its digest. Two installations of one
 * version may differ in what it depends on. False: npm left no account of it. */
bool agent_install_tree(const struct agent_install *i, char out[HASH_HEX]);
/* The version that CACHE/NAME/current means, NULL when there is none. The caller frees. */
char *agent_install_current(const char *name);
