/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * preflight-jobs.h -- private to preflight: running workers that only grade, many at a time, with the launchers that
 * trials have. Their folders lie beside those of the trials, under a hidden name, and are removed with their end.
 */
#pragma once
#include <jansson.h>
#include "rollout/session.h"

struct preflight_job {
	const struct trial *trial; /* borrowed; whose sandbox, limits and launcher it has */
	const char *task_hash, *task_snapshot; /* borrowed */
	bool gold;			       /* the task's own solution is graded, else nothing */
	/* As a trial is run, with AGENT (static) in a sandbox of its own, SPEC being its file (borrowed; NULL: built in): and
	 * its tests have the time that a trial's have. */
	bool whole;
	const char *agent;
	const json_t *spec;
	bool ungraded; /* only the agent of WHOLE counts */
	int number;    /* tells jobs of one trial apart */
	/* What came of it, owned; NULL: the worker left none. */
	json_t *result, *evaluation;
	char *log; /* what an agent of WHOLE printed; NULL: nothing */
};

/* Run all N; blocks. L is told of time passing. ERR_CANCELLED when interrupted: then the signals' levels mean what they
 * do for trials. */
int preflight_jobs_run(struct session *s, const struct listener *l, struct preflight_job *jobs,
		       size_t n, int parallel, struct err *err) MUST_CHECK;
void preflight_job_release(struct preflight_job *job);
