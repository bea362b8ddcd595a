/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/operands.h"
#include <fcntl.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/config.h"

static bool is_file(const char *path)
{
	return path_exists(AT_FDCWD, path) && !path_is_dir(AT_FDCWD, path);
}

char *operand_file(const char *operand)
{
	static const char *const forms[][2] = {
		{"", ".toml"}, {"configs/", ""}, {"configs/", ".toml"}};

	if (!*operand || !strcmp(operand, "-") || path_exists(AT_FDCWD, operand))
		return xstrdup(operand);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		AUTO(free) char *path = xasprintf("%s%s%s", forms[i][0], operand, forms[i][1]);
		if (is_file(path))
			return STEAL(&path);
	}
	return xstrdup(operand);
}

char *operand_name(const char *operand)
{
	const char *dot = strrchr(operand, '.');
	char *name;
	struct err
		ignored; /* whoever looks for the rollouts says that there are none of that name */

	if (!dot || strcmp(dot, ".toml") || !is_file(operand) ||
	    config_name(&name, operand, &ignored))
		return xstrdup(operand);
	return name;
}
