/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/outcome.h"
#include "base/mem.h"

static const char *const names[OUTCOME_COUNT_] = {
	[OUTCOME_COMPLETED] = "completed",
	[OUTCOME_TIMEOUT] = "timeout",
	[OUTCOME_BUDGET] = "budget",
	[OUTCOME_AGENT_ERROR] = "agent_error",
	[OUTCOME_INFRA_ERROR] = "infra_error",
	[OUTCOME_CANCELLED] = "cancelled",
	[OUTCOME_REPLAY_DIVERGED] = "replay_diverged",
};

const char *outcome_name(enum outcome o)
{
	return (unsigned)o < OUTCOME_COUNT_ ? names[o] : "unknown";
}

bool outcome_parse(const char *name, enum outcome *out)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*out = (enum outcome)i;
			return true;
		}
	return false;
}

bool outcome_is_missing(enum outcome o)
{
	return o == OUTCOME_INFRA_ERROR || o == OUTCOME_CANCELLED || o == OUTCOME_REPLAY_DIVERGED;
}
