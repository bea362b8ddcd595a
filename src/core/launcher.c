/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/launcher.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/path.h"

enum { NAME_MAX_BYTES = 40 };

bool launcher_is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n && !name[n] && n <= NAME_MAX_BYTES && *name != '-';
}

static bool is_program(const char *path)
{
	return !access(path, X_OK) && !path_is_dir(AT_FDCWD, path);
}

static char *on_path(const char *file)
{
	const char *path = getenv("PATH");

	for (const char *end; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		AUTO(free) char *dir = xstrndup(path, (size_t)(end - path));
		AUTO(free) char *candidate = path_join(dir, file);
		if (*dir == '/' && is_program(candidate))
			return STEAL(&candidate);
	}
	return NULL;
}

char *launcher_program(const char *name)
{
	if (!launcher_is_name(name))
		return NULL;
	AUTO(free) char *file = xasprintf("rollouts-launch-%s", name);
	AUTO(free) char *driver = xasprintf("drivers/%s/launch", name);
	char *places[] = {install_libexec(file), install_share(driver), on_path(file)};
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (!found && places[i] && is_program(places[i]))
			found = places[i];
		else
			free(places[i]);
	return found;
}
