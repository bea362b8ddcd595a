/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * source.h -- where a node has from what is not in its data folder, which starts empty where nothing is shared: from its home, by way of
 * the process that speaks to it (far.h), or from a store, by a program of the launcher's.
 */
#pragma once
#include "base/err.h"

struct source {
	const char *
		ask; /* a socket: a path goes in as a line, "ok" or the reason comes out. NULL: none */
	const char *store; /* a program: `STORE get PATH FILE`, `STORE put NAME FILE`. NULL: none */
};

/* Have PATH below DATA_FD. Nothing is done where it is there. Blocks as long as it takes; ERR_INFRA, worth a retry, when it is not to be had. */
int source_get(const struct source *s, int data_fd, const char *path, struct err *err) MUST_CHECK;
/* Hand over FILE in DIR_FD, which is whole, to a store. Nothing is done where there is none. */
int source_put(const struct source *s, int dir_fd, const char *file, struct err *err) MUST_CHECK;
