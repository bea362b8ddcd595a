/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * phase-evaluate.h -- private to trial: grading what was committed.
 */
#pragma once
#include "trial/work.h"

/* Grade the committed diff in a fresh sandbox, write the documents, and put the scores in w->result. */
int work_evaluate(struct work *w, struct err *err) MUST_CHECK;
