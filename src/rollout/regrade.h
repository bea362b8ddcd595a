/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * regrade.h -- `eval --config`: which present task each stored trial is graded with. Reading and
 * checking write nothing.
 */
#pragma once
#include "rollout/session.h"

struct regrade {
	struct inputs in;
	struct inputs_task **tasks; /* by trial of the plan; NULL: the file has no match for it */
	struct strv notes;	    /* for people */
};

/* Every mistake of the file and its tasks is a line in PROBLEMS; a diff that a task as it is now
 * says nothing about is ERR_USAGE. OUT must be released in any case. */
int regrade_load(struct regrade *out, const struct session *s, const struct config_request *req,
		 struct strv *problems, struct err *err) MUST_CHECK;
/* Write the snapshots that are graded from. */
int regrade_commit(struct regrade *r, const struct session *s, struct err *err) MUST_CHECK;
void regrade_release(struct regrade *r);
