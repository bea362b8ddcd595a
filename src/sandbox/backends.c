/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "base/err.h"
#include "sandbox/backend.h"
#include "sandbox/sandbox.h"

static const struct sandbox_backend *const backends[] = {&sandbox_local, &sandbox_docker,
							 &sandbox_landlock, &sandbox_launcher};

static const struct sandbox_backend *find_backend(const char *name)
{
	for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++)
		if (!strcmp(backends[i]->name, name))
			return backends[i];
	return NULL;
}

int sandbox_open(struct sandbox **out, const char *backend, const struct sandbox_spec *spec,
		 struct err *err)
{
	const struct sandbox_backend *b = find_backend(backend);

	if (!b)
		return err_set(err, ERR_USAGE, 0,
			       "there is no sandbox \"%s\" (there are: local, docker, landlock)",
			       backend);
	return b->open(out, spec, err);
}
