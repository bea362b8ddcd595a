/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dir.h -- reading directories.
 */
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <string.h>

static inline void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static inline bool dir_is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}
