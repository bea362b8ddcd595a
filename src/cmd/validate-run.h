/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * validate-run.h -- `validate --run` and `run --check`: grading the graders (rollout/grade-check.h), for people.
 */
#pragma once
#include "config/config.h"
#include "rollout/grade-check.h"

/* Try the tasks of the benchmark file that REQ names, with no agent and no judge of it; nothing of it stays in the data
 * folder. *OUT as grade_check_run; the caller owns it. Remarks go to standard error. */
int validate_tasks(json_t **out, const struct config_request *req,
		   const struct grade_check_request *request, struct strv *problems,
		   struct err *err) MUST_CHECK;
/* What came of them, on standard output: a line each, then their findings and notes. */
void validate_print(const json_t *tasks);
/* The verb, on task folders or one benchmark file; an exit status. */
int cmd_validate_run(struct config_request *req, const struct strv *operands,
		     const struct grade_check_request *request, bool json);
