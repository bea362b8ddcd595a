/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dotenv.h -- a task's .env: NAME=VALUE lines as a shell would read them, without anything being
 * run.
 */
#pragma once
#include <stdbool.h>
#include "core/kv.h"
#include "task/mistakes.h"

bool dotenv_is_name(const char *name); /* of an environment variable */
/* Read FILE below DIR_FD into ENV, if it is there. Names of credentials are left out with a note.
 */
void dotenv_read(struct kvs *env, int dir_fd, const char *file, struct mistakes *m,
		 struct strv *notes);
