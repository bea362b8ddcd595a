/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * grade-check.h -- graders are graded: does what scores a task say what it should? Each task's tests are run on its own
 * solution and on nothing, several times; on work that is meant to fool them; and on patches that somebody knows to be
 * right or wrong. In the sandbox that the task's trials have, and by the same worker; no model is asked.
 */
#pragma once
#include <jansson.h>
#include "rollout/session.h"

struct grade_check_request {
	int times;	/* of the solution and of nothing, 1 or more */
	bool no_probes; /* leave out the work that is meant to fool tests */
	const char *
		right; /* a folder of patches that must pass, of its only task or one folder a task; NULL: none */
	const char *wrong; /* of patches that must fail; NULL: none */
};

/* Try the tasks of S, a session that was just created and is to be undone afterwards. *OUT, owned by the caller, is an array:
 * what came of each task, in the order of the plan, as docs/formats.md describes it. ERR_USAGE when a folder of patches
 * is not as it should be. Blocks until all is done. */
int grade_check_run(struct session *s, const struct listener *l,
		    const struct grade_check_request *req, json_t **out,
		    struct err *err) MUST_CHECK;
/* How many findings the tasks of that array have together. */
size_t grade_check_findings(const json_t *tasks);
