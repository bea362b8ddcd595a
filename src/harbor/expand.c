/* SPDX-License-Identifier: GPL-3.0-or-later
 * Apart from the reader: a worker, which reads no TOML, has it. */
#include <ctype.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "harbor/contract.h"

char *harbor_expand(const char *value, const char *(*lookup)(void *arg, const char *name),
		    void *arg, const char **missing, size_t *len)
{
	const size_t n = strlen(value);
	const size_t name_n =
		n > 3 ? strspn(value + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
					  "0123456789")
		      : 0;
	const char *after = value + 2 + name_n;

	if (n < 4 || strncmp(value, "${", 2) || value[n - 1] != '}' || !name_n ||
	    isdigit((unsigned char)value[2]) ||
	    (after != value + n - 1 && strncmp(after, ":-", 2) != 0))
		return xstrdup(value);
	AUTO(free) char *name = xstrndup(value + 2, name_n);
	const char *found = lookup(arg, name);
	const bool fallback = *after == ':';
	/* As a shell has it: an empty variable is none where there is a default. */
	if (found && (*found || !fallback))
		return xstrdup(found);
	if (fallback)
		return xstrndup(after + 2, (size_t)(value + n - 1 - (after + 2)));
	*missing = value + 2;
	*len = name_n;
	return NULL;
}
