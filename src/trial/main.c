/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include "trial/trial.h"

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version")) {
		puts("rollouts-trial " ROLLOUTS_VERSION);
		return 0;
	}
	if (argc != 2 || argv[1][0] == '-') {
		fputs("usage: rollouts-trial ATTEMPT_DIR   (started by `rollouts run`, not by "
		      "hand)\n",
		      stderr);
		return 2;
	}
	return trial_run(argv[1]);
}
