/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "base/mem.h"
#include "base/cleanup.h"
#include "cloud/cloud.h"

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} words[] = {{"node", cloud_node}, {"read", cloud_read},     {"pull", cloud_read},
		     {"init", cloud_init}, {"doctor", cloud_doctor}, {"cost", cloud_cost}};

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i].name, argv[1]))
			return words[i].run(argc - 1, argv + 1);
	fputs("usage: rollouts-cloud WORD ...   (started by `rollouts cloud` and by jobs, see "
	      "docs/aws-batch.md)\n",
	      stderr);
	return 2;
}
