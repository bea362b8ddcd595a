/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * outcome.h -- how a trial ended, which is apart from its score: an error is never a score.
 */
#pragma once
#include <stdbool.h>

enum outcome {
	OUTCOME_COMPLETED, /* the agent ended by itself */
	OUTCOME_TIMEOUT,   /* its working time was over; still evaluated */
	OUTCOME_BUDGET,	   /* its token, cost or call limit was reached; still evaluated */
	OUTCOME_AGENT_ERROR, /* the agent failed (non-zero exit, crash, used up memory or disk); still evaluated */
	OUTCOME_INFRA_ERROR,	 /* our side failed: retried, then missing, never scored */
	OUTCOME_CANCELLED,	 /* stopped by the user: missing */
	OUTCOME_REPLAY_DIVERGED, /* a replay met a request that is not the recorded one: missing */
	OUTCOME_COUNT_
};

const char *outcome_name(enum outcome o); /* "completed" ... */
bool outcome_parse(const char *name, enum outcome *out);
bool outcome_is_missing(
	enum outcome o); /* infra_error, cancelled or replay_diverged: no result to count */
