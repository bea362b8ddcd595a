/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/roles.h"
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"

bool role_is_name(const char *name)
{
	const size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return *name >= 'a' && *name <= 'z' && n <= 32 && !name[n];
}

const char *role_get(const json_t *roles, const char *name, const char *member)
{
	const json_t *role = json_object_get(roles, name);

	return role ? json_get_str(role, member, "") : NULL;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void roles_text(struct buf *out, const json_t *roles)
{
	const size_t n = json_object_size(roles);
	AUTO(free) const char **names = xcalloc(n + 1, sizeof *names);
	const char *name;
	json_t *role;
	size_t i = 0;

	json_object_foreach ((json_t *)roles, name, role)
		names[i++] = name;
	qsort(names, n, sizeof *names, by_name);
	for (i = 0; i < n; i++)
		buf_addf(out, "%s%s=%s", i ? " " : "", names[i],
			 role_get(roles, names[i], "model"));
}

bool roles_equal(const json_t *a, const json_t *b)
{
	AUTO(buf) struct buf x = BUF_INIT, y = BUF_INIT;

	if (!json_object_size(a) && !json_object_size(b))
		return true;
	roles_text(&x, a);
	roles_text(&y, b);
	return strcmp(x.data ? x.data : "", y.data ? y.data : "") == 0;
}
