/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/placeholders.h"
#include <stdio.h>
#include <string.h>
#include "base/text.h"

static const char *const words[] = {"model",
				    "api",
				    "instruction",
				    "instruction_file",
				    "seed",
				    "rollout",
				    "task_id",
				    "gateway_url",
				    "token",
				    "context",
				    "max_output",
				    "home",
				    "repo",
				    "system_prompt",
				    "folder",
				    "mcp",
				    "image",
				    "image_type",
				    "image_base64",
				    "images",
				    "instruction_json",
				    NULL};
/* Those that are followed by a name: {option:effort}. */
static const char *const named[] = {"model", "api", "context", "max_output", "option", "env", NULL};

static const char lower[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
static const char name_letters[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

bool placeholder_misspelt(const char *text, char *wrong, char *right, size_t size)
{
	for (const char *at = text; (at = strchr(at, '{')); at++) {
		const size_t len = strspn(at + 1, lower);
		const char *rest = at + 1 + len, *near;
		const size_t name = *rest == ':' ? strspn(rest + 1, name_letters) : 0;
		const char *end = name ? rest + 1 + name : rest;

		if (*end != '}' || !len || len >= size || (at > text && at[-1] == '$'))
			continue;
		snprintf(wrong, size, "%.*s", (int)len, at + 1);
		near = text_nearest(wrong, name ? named : words);
		if (!near || strcmp(near, wrong) == 0)
			continue;
		snprintf(right, size, "%s%.*s", near, (int)(end - rest), rest);
		snprintf(wrong, size, "%.*s", (int)(end - at - 1), at + 1);
		return true;
	}
	return false;
}
