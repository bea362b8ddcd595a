/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dockerignore.h -- the patterns of a .dockerignore, as the builder reads them: the last that matches counts, "!" takes
 * back, "**" is any number of folders. And those of a .gitignore or its like, as patterns of that kind.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"

/* Append the patterns of the task folder DIR_FD: of Dockerfile.dockerignore, else of .dockerignore; without either
 * none. */
int dockerignore_read(struct strv *patterns, int dir_fd, struct err *err) MUST_CHECK;
/* Append the patterns of FILE, which has the form of a .gitignore, for paths that begin with BELOW ("" or "a/b/"). One that is not there or
 * cannot be read has none. */
void dockerignore_read_git(struct strv *patterns, int dir_fd, const char *file, const char *below);
/* Whether PATH, or a folder it lies in, is left out. */
bool dockerignore_matches(const struct strv *patterns, const char *path);
/* Whether nothing below a folder that is left out can come back: it need not be looked at. */
bool dockerignore_is_final(const struct strv *patterns);
