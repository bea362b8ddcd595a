/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/install.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"

static char *program_dir(void)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);

	if (n < 0)
		return xstrdup("/usr/bin");
	exe[n] = '\0';
	char *slash = strrchr(exe, '/');
	return xstrndup(exe, slash && slash > exe ? (size_t)(slash - exe) : 1);
}

/* The first of the NULL-terminated PATTERNS (each "DIR-suffix", appended to the program's folder) that
 * exists, else the last one. */
static char *first_existing(const char *const *patterns, const char *name)
{
	AUTO(free) char *dir = program_dir();

	for (;; patterns++) {
		char *path = xasprintf("%s%s/%s", dir, *patterns, name);
		/* People are shown it: /usr/share rather than /usr/bin/../share. */
		char *real = realpath(path, NULL);
		if (real)
			free(path);
		if (real || !patterns[1])
			return real ? real : path;
		free(path);
	}
}

char *install_libexec(const char *name)
{
	/* A worker finds its siblings beside itself; the user's program finds them in libexec. */
	static const char *const places[] = {"", "/../libexec/rollouts", NULL};

	return first_existing(places, name);
}

char *install_share(const char *name)
{
	static const char *const places[] = {"", "/../share/rollouts", "/../../share/rollouts",
					     "/../share", NULL};

	return first_existing(places, name);
}
