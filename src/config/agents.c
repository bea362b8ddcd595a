/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config/agents.h"
#include <string.h>

bool agent_is_builtin(const char *name)
{
	return strcmp(name, "nop") == 0 || strcmp(name, "oracle") == 0;
}
