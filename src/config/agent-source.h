/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-source.h -- inside src/config: what state the source of an agent is in, so that edited source is told from what it was.
 */
#pragma once
#include <jansson.h>
#include "base/err.h"
#include "base/hash.h"

/* Of PATH, a file or a folder: {path, digest, commit, dirty}; the last two are null outside of a repository. The digest is over
 * names, modes and contents, without .git, caches of bytecode and the inside of environments that lie in it, of which names and
 * sizes count. ERR_USAGE: it is not there, or more than source is. The caller owns *OUT. */
int agent_source(json_t **out, const char *path, struct err *err) MUST_CHECK;
/* What is installed in the virtual environment VENV: its packages' names, versions and files. Folders whose source is used where it
 * lies (pip install -e) are added to SOURCES. */
void agent_venv(char digest[HASH_HEX], const char *venv, json_t *sources);
