// SPDX-License-Identifier: GPL-3.0-or-later
#include "launch/launch.h"
#include <string.h>
#include "base/mem.h"
#include "core/launcher.h"
#include "launch/launch-driver.h"
#include "launch/launch-local.h"

static const struct launcher *const launchers[] = {&launch_local};

const struct launcher *launch_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(launchers); i++)
		if (!strcmp(launchers[i]->name, name))
			return launchers[i];
	return launcher_is_name(name) ? &launch_driver : NULL;
}

bool launch_attaches(const char *name)
{
	const struct launcher *l = launch_find(name);

	return l && l->attach;
}

int launch_check(int root_fd, const char *name, const json_t *settings, bool *asks_here,
		 struct err *err)
{
	const struct launcher *l = launch_find(name);
	const struct launch_spec spec = {
		.name = name, .settings = settings, .root_fd = root_fd, .parallel = 1};
	struct launch *launch;

	if (!l)
		return err_set(err, ERR_USAGE, 0, "there is no launcher \"%s\"", name);
	*asks_here = true;
	if (l != &launch_driver)
		return 0;
	if (l->open(&launch, &spec, err))
		return -1;
	*asks_here = launch_driver_asks_here(launch);
	l->close(launch);
	return 0;
}

int launch_end_strays(int root_fd, const char *prefix, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(launchers); i++)
		if (launchers[i]->end_strays && launchers[i]->end_strays(root_fd, prefix, err))
			return -1;
	return 0;
}
