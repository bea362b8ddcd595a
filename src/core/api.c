/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/api.h"
#include <string.h>

const char *const api_names[API_COUNT + 1] = {
	[API_RESPONSES] = "responses",
	[API_CHAT] = "chat",
	[API_ANTHROPIC] = "anthropic",
	[API_GEMINI] = "gemini",
};

int api_find(const char *name)
{
	for (int i = 0; i < API_COUNT; i++)
		if (strcmp(api_names[i], name) == 0)
			return i;
	return -1;
}
