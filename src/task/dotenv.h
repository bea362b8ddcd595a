/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dotenv.h -- a task's .env: NAME=VALUE lines as a shell would read them, without anything being
 * run.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"
#include "core/kv.h"
#include "task/issues.h"

bool dotenv_is_name(const char *name); /* of an environment variable */
/* The value of NAME in FILE below DIR_FD, credentials included, appended to VALUE: for whoever keeps it in
 * memory and away from sandboxes. The last one counts, lines that cannot be read do not. False: it has none.
 */
bool dotenv_find(int dir_fd, const char *file, const char *name, struct buf *value);
/* Read FILE below DIR_FD into ENV, if it is there. Names of credentials are left out with a note, and added to
 * WITHHELD. */
void dotenv_read(struct kvs *env, int dir_fd, const char *file, struct issues *m,
		 struct strv *notes, struct strv *withheld);
