/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "sandbox/sandbox.h"
#include "trial/trial.h"

/* For a launcher, over there: whether the usual sandbox starts, in the working directory; its words on standard error. */
static int try_sandbox(void)
{
	struct err err;
	AUTO(fd) int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!sandbox_try(here, "local", &err))
		return 0;
	fprintf(stderr, "%s\n", err.msg);
	return 3;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("rollouts-trial " ROLLOUTS_VERSION);
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--try-sandbox"))
		return try_sandbox();
	if (argc != 2 || argv[1][0] == '-') {
		fputs("usage: rollouts-trial ATTEMPT_DIR   (started by `rollouts run`, not by "
		      "hand)\n",
		      stderr);
		return 2;
	}
	return trial_run(argv[1]);
}
