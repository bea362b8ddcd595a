/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * owner.h -- whose run folders are these? Two hosts that start in one second call their rollouts and run folders alike, and data
 * folders that are copied over each other mix them. So each start has an id of its own, which its plan, its journal, its
 * attempts and their results carry.
 */
#pragma once
#include "store/planfile.h"

enum { OWNER_ID = 17 }; /* 16 hex digits and a NUL */

void owner_new_id(char out[OWNER_ID]);
/* ID is of the start that made P, or of one that was merged into it. An empty id, of an older program, is. */
bool owner_is_of(const struct planfile *p, const char *id);
/* Whether one of the first ATTEMPTS attempts of RUN_ID (the first and the last are looked at) was made by another start than P's. A
 * folder that is not there is nobody's. */
bool owner_is_stranger(int root_fd, const struct planfile *p, const char *run_id, int attempts);
/* ERR_USAGE when the journal in WHERE, whose first plan was made by the start ID, is not P's. */
int owner_check_journal(const struct planfile *p, const char *id, const char *where,
			struct err *err) MUST_CHECK;
/* ERR_USAGE: N of the run folders of NAME STAMP, among them RUN_ID, are another's, and what to do about it. */
int owner_refuse(const char *name, const char *stamp, size_t n, const char *run_id,
		 struct err *err) MUST_CHECK;
