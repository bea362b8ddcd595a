/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * run-links.h -- the names at the top of a run's folder that lead to its last attempt.
 */
#pragma once
#include "base/err.h"

/* RUN_ID/latest leads to ATTEMPT from here on, and result.json, artifacts and logs beside it into latest. RUN_FD is the run's
 * folder. Done again, it changes nothing. */
int run_links_make(int run_fd, int attempt, struct err *err) MUST_CHECK;
/* The same of the documents of a grade, once there is one. */
int run_links_grade(int run_fd, struct err *err) MUST_CHECK;
