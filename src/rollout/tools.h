/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tools.h -- the tools of a benchmark: programs and folders of this machine that its agents and its tests see, read-only
 * and first on PATH, so that both have one world.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"

/* The program that NAME means on PATH, past shims, whose managers are asked; NULL with *WHY. The caller frees both. */
char *tools_program(const char *name, char **why);
/* What NAME means in a local sandbox without tools; NULL: nothing. The caller frees. */
char *tools_in_sandbox(const char *name);

/* Find NAMES: a name is looked up in PATH, and what stands for another program (a shim of rustup, pyenv, asdf, mise ...)
 * is asked which. *OUT, owned by the caller, NULL without names: `mounts` [{host, box}], `path` [folder], `programs` {name: its
 * file}, `container_mounts` (what only containers are shown: folders below /usr and their parts of /etc), `not_in_containers`
 * [name] (which lie among others in /usr/bin), `id`, which differs when any of the programs does. What is not found is a line in PROBLEMS, which
 * begins with FILE. Blocks: starts the shims' managers, 10 s each at most. */
void tools_find(json_t **out, const struct strv *names, const char *file, struct strv *problems);
