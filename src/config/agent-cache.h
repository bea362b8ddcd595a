/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-cache.h -- where agents fetched by `rollouts agents install` lie, and what a file's [install] means:
 *
 *   CACHE/NAME/VERSION/      one installation, complete or not there (npm's package.json, node_modules/)
 *   CACHE/NAME/VERSION-ID/   one of that version that was fetched from elsewhere, where the other is there, too
 *
 * CACHE is $XDG_CACHE_HOME/rollouts/agents, or ~/.cache/rollouts/agents. Each says in `.fetched` what it was fetched from, and by
 * that it is found: under whatever name, so that all who name the same packages share it, and nobody else's is taken for it.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/strv.h"

#define AGENT_FETCHED ".fetched"
#define AGENT_VENV "venv" /* in an installation: what pip made */

/* An [install] table with its placeholders filled in: {version}, {arch} ("x64", "arm64") and {machine}
 * ("x86_64", "aarch64"). */
struct agent_install {
	char *version;
	char *folder; /* CACHE/NAME */
	char *before; /* what packages depend on is taken as it was then; NULL: as it is now */
	/* One of these four says what is fetched. */
	struct strv npm;     /* packages, "NAME@VERSION" */
	struct strv pip;     /* packages, "NAME==VERSION", into venv/ */
	char *url, *sha256;  /* one file, an archive's content or a program */
	char *image;	     /* of a container engine, "NAME@sha256:...": its files */
	struct strv program; /* below the installation: what stands for argv[0] */
	char id[HASH_HEX];   /* of all that says what is fetched */
};

/* SPEC is the `install` member; VERSION NULL means the one written there, and only for that `before` is meant.
 * ERR_USAGE: no exact version; ERR_INFRA: there is no place for a cache. To be released when it succeeds. */
int agent_install_make(struct agent_install *out, const char *name, const json_t *spec,
		       const char *version, struct err *err) MUST_CHECK;
void agent_install_release(struct agent_install *i);
/* The folder that holds it, with every file of `program`, or NULL. The caller frees. */
char *agent_install_find(const struct agent_install *i);
/* The name in I's folder that a new installation gets; the caller frees. */
char *agent_install_name(const struct agent_install *i);
/* Hash of the tree that npm, or pip, resolved in the installation DIR: where each package lies, its version, its digest. Two of one
 * version may differ in what it depends on. False: npm left no account of it. */
bool agent_install_tree(const char *dir, char out[HASH_HEX]);
/* The versions that are there of what SPEC would fetch, whatever it names; sorted. */
void agent_install_versions(const char *name, const json_t *spec, struct strv *out);
