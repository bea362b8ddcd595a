/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/datadir.h"
#include <string.h>
#include "base/mem.h"

char *datadir_attempt(const char *run_id, int attempt)
{
	return xasprintf(DATA_RUNS "/%s/" RUN_ATTEMPTS "/%d", run_id, attempt);
}

char *datadir_attempt_file(const char *run_id, int attempt, const char *file)
{
	return xasprintf(DATA_RUNS "/%s/" RUN_ATTEMPTS "/%d/%s", run_id, attempt, file);
}

char *datadir_judge(const char *model_id, const char *prompt)
{
	char *path = xasprintf(DATA_JUDGES "/%.100s-%.16s.json", model_id, prompt);

	/* "openai/gpt-5", as routers name it. */
	for (char *c = path + sizeof DATA_JUDGES; *c; c++)
		if (*c == '/')
			*c = '_';
	return path;
}

bool datadir_is_box(const char *name)
{
	return !strncmp(name, ATTEMPT_BOX_PREFIX, strlen(ATTEMPT_BOX_PREFIX));
}
