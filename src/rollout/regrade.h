/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * regrade.h -- what `eval` grades again, and with `--config`, which present task each stored trial is graded with.
 * Reading and checking write nothing.
 */
#pragma once
#include "rollout/session.h"

struct regrade {
	struct inputs in;
	struct inputs_task **tasks; /* by trial of the plan; NULL: the file has no match for it */
	struct strv notes;	    /* for people */
	/* What changed of what agents are given, with the first such task: their work is of another task; NULL: nothing */
	char *other_task;
};

/* Every mistake of the file and its tasks is a line in PROBLEMS; a diff that a task as it is now
 * says nothing about is ERR_USAGE. OUT must be released in any case. */
int regrade_load(struct regrade *out, const struct session *s, const struct config_request *req,
		 struct strv *problems, struct err *err) MUST_CHECK;
/* Make the trials of S those of their tasks as R has them, in the plan in memory: those that are done are to be graded
 * again, the others to be run so, by this resume or a later one. ERR_USAGE where agents were given something else.
 * Writes the snapshots, but for ONLY_LOOK. Returns how many trials were moved in *N. */
int regrade_move(struct regrade *r, struct session *s, bool only_look, size_t *n,
		 struct err *err) MUST_CHECK;
/* Write the snapshots that are graded from. */
int regrade_commit(struct regrade *r, const struct session *s, struct err *err) MUST_CHECK;
void regrade_release(struct regrade *r);

/* In what follows R may be NULL: every trial is graded again, with its task as it was planned. */

/* Whether TRIAL of the plan is meant: what --config says nothing of keeps its grade. */
bool regrade_asks(const struct regrade *r, size_t trial);
/* Fill ITEMS, which has room for every trial of the plan, with those whose agent's work is there; returns how many. */
size_t regrade_items(const struct session *s, const struct regrade *r, struct sched_item *items);
/* eval_manifest.json: what was graded. OK by trial of the plan: it has its grade. */
int regrade_write_manifest(const struct session *s, const struct regrade *r, const bool *ok,
			   struct err *err) MUST_CHECK;
