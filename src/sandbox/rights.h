/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rights.h -- what an agent of our own user took from itself, and so from us. Inside a user namespace nobody needs this.
 */
#pragma once
#include "base/err.h"

/* The folders that lead from ROOT_FD to the last but one of PATH, to be held before an agent runs: it can take the rights to
 * them from us, and not by the name but by what is held can they be taken back. NULL with *err. */
struct rights_way *rights_way_open(int root_fd, const char *path, struct err *err) MUST_CHECK;
/* Take them back, and those to the folders in the last one. */
void rights_way_take(const struct rights_way *w);
void rights_way_free(struct rights_way *w); /* accepts NULL */
/* May we read and enter all of PATH, as its owner? What an owner lacks is added, down to 200 levels, whether a file is
 * executable stays; nothing is followed. What is not ours is left as it is. */
int rights_take(int root_fd, const char *path, struct err *err) MUST_CHECK;
/* Open the directory NAME below DIR although its owner, who we are, may not; its rights are as before afterwards.
 * -1: not to be opened so either. */
int rights_open_dir(int dir, const char *name);
