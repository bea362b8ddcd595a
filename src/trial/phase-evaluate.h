/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * phase-evaluate.h -- private to trial: grading what was committed.
 */
#pragma once
#include "trial/work.h"

/* Open the fresh sandbox that holds the agent's diff, or say in *REFUSED why it cannot hold it. What of the diff was meant for
 * the tests is left out, and told in w->result.suspect. */
int work_open_graded(struct work *w, struct sandbox **box, char **refused,
		     struct err *err) MUST_CHECK;
/* Grade the committed diff in a fresh sandbox, write the documents, and put the scores in w->result. */
int work_evaluate(struct work *w, struct err *err) MUST_CHECK;
