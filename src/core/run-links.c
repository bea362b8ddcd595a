/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/run-links.h"
#include <stdio.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"

int run_links_make(int run_fd, int attempt, struct err *err)
{
	static const char *const names[] = {ATTEMPT_ARTIFACTS, ATTEMPT_LOGS, ATTEMPT_RESULT};
	char target[32];

	snprintf(target, sizeof target, RUN_ATTEMPTS "/%d", attempt);
	if (path_link(run_fd, target, RUN_LATEST, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		/* Not only in the first attempt: it may have died before it came here. */
		if (attempt > 1 && path_exists(run_fd, names[i]))
			continue;
		snprintf(target, sizeof target, RUN_LATEST "/%s", names[i]);
		if (path_link(run_fd, target, names[i], err))
			return -1;
	}
	return 0;
}

int run_links_grade(int run_fd, struct err *err)
{
	static const char *const names[] = {ATTEMPT_EVALUATION, ATTEMPT_SCORING};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *target = path_join(RUN_LATEST, names[i]);
		if (path_link(run_fd, target, names[i], err))
			return -1;
	}
	return 0;
}
