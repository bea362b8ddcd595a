/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/datadir.h"
#include "base/mem.h"

char *datadir_attempt(const char *run_id, int attempt)
{
	return xasprintf(DATA_RUNS "/%s/" RUN_ATTEMPTS "/%d", run_id, attempt);
}

char *datadir_attempt_file(const char *run_id, int attempt, const char *file)
{
	return xasprintf(DATA_RUNS "/%s/" RUN_ATTEMPTS "/%d/%s", run_id, attempt, file);
}
