// SPDX-License-Identifier: GPL-3.0-or-later
#include "launch/launch.h"
#include <string.h>
#include "base/mem.h"
#include "launch/launch-local.h"

static const struct launcher *const launchers[] = {&launch_local};

const struct launcher *launch_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(launchers); i++)
		if (!strcmp(launchers[i]->name, name))
			return launchers[i];
	return NULL;
}

bool launch_attaches(const char *name)
{
	const struct launcher *l = launch_find(name);

	return l && l->attach;
}

int launch_end_strays(int root_fd, const char *prefix, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(launchers); i++)
		if (launchers[i]->end_strays && launchers[i]->end_strays(root_fd, prefix, err))
			return -1;
	return 0;
}
