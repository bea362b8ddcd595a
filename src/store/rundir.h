/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rundir.h -- the folder of an attempt, DATA/runs/RUN_ID/attempts/N: made by the supervisor, written
 * by one worker. Where the worker becomes another user it is that user's, who may have put links
 * into it: nothing here follows one.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"
#include "base/err.h"
#include "core/result.h"
#include "core/trial.h"
#include "store/planfile.h"

/* Make the directories (0700, owned by a->uid when set) and trial.json. */
int rundir_make(int root_fd, const struct attempt *a, struct err *err) MUST_CHECK;

/* What an attempt left. RESULT is owned by the caller, NULL when there is none that is valid. */
struct rundir_left {
	json_t *result;
	enum outcome outcome;
	bool retry;	      /* of an infra_error: worth another attempt */
	bool agent_committed; /* agent.json is in place */
};
/* Look at an attempt of T, of PLAN, whose worker has ended. What cannot be read, or is another rollout's, counts as absent. */
void rundir_look(int root_fd, const struct planfile *plan, const struct trial *t, int attempt,
		 struct rundir_left *out);
/* The highest attempt that has a directory, 0: none. */
int rundir_last_attempt(int root_fd, const char *run_id);
/* The attempt that RUN_ID/latest leads to, also where a copy has put a folder in the link's place; 0: there is none. */
int rundir_latest(int root_fd, const char *run_id);
/* Make RUN_ID/latest lead to ATTEMPT, and the run's other names into it: those that are there, and where a copy followed
 * a link, in the place of what it put there. */
int rundir_lead_to(int root_fd, const char *run_id, int attempt, struct err *err) MUST_CHECK;
/* The last line of the worker's log, for a reason; "" when there is none. */
void rundir_last_words(int root_fd, const char *run_id, int attempt, struct buf *out);
