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
