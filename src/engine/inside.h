/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inside.h -- what root alone can do to a container that runs, before anything untrusted does in it. PID is its PID 1
 * and must be of the container ID, or nothing is done: an engine may count processes otherwise than we do.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"

/* Whether we may do any of it. */
bool inside_possible(void);
/* Refuse the addresses at which clouds hand out the credentials of a machine, but for name servers there, to all of
 * the container. What runs there without CAP_NET_ADMIN cannot undo it. */
int inside_fence(int pid, const char *id, struct err *err) MUST_CHECK;
/* Let everybody enter the folders PATHS of its root file system, which may be read-only. One that is not there, or behind a
 * link, is left alone. */
int inside_open_folders(int pid, const char *id, const struct strv *paths,
			struct err *err) MUST_CHECK;
/* Mount TREE (a detached mount) at PATH of the container, over what is there. */
int inside_mount(int pid, const char *id, int tree, const char *path, struct err *err) MUST_CHECK;
