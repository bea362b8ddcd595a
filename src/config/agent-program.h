/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * agent-program.h -- finding programs, above all an agent's, on this machine, and the
 * folders a sandbox must mount read-only so that they run there. What lies below /usr is in every
 * sandbox already.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/err.h"

struct programs {
	json_t *mounts; /* [{host, box}], as in an agent's spec; borrowed */
	json_t *path;	/* folders to put into PATH; borrowed */
	const char
		*hidden; /* a real path: no folder that holds it is shown as a whole. NULL: none */
};

/* The file that PATH means by NAME, or NULL. The caller frees. */
char *program_on_path(const char *name);

/* Find NAME (looked up in PATH; with a slash, relative to FOLDER unless absolute) and what it needs
 * to run: its install prefix and, of a script, its interpreter. *inside is how a sandbox names it,
 * owned. */
int program_add(const struct programs *p, const char *name, const char *folder, char **inside,
		struct err *err) MUST_CHECK;

/* Show PATH, a file or a folder, by its own name. */
void program_show(const struct programs *p, const char *path);
/* Whether a folder holds programs and not somebody's life, or the benchmark. */
bool program_may_show(const struct programs *p, const char *dir);
/* Whether PATH is there in every sandbox, or shown by P. */
bool program_is_shown(const struct programs *p, const char *path);
/* What "#!/usr/bin/env NAME" of the script PATH asks for, found on this machine, or NULL. The caller frees. */
char *program_by_env(const char *path);
/* The virtual environment whose bin/ the program PATH is in, or NULL. The caller frees. */
char *program_venv(const char *path);

/* The version in the package.json of the npm package that the program at PATH belongs to, or NULL: read,
 * not run. The caller frees. */
char *program_version(const char *path);
/* The digest of the file PATH, by which an agent that was edited is told from what it was; NULL where it is of the
 * system or cannot be read. The caller frees. */
char *program_digest(const char *path);
