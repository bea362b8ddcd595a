/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/launcher.h"

/* What a launcher needs, and what it may leave, is for its own program to say: a file VERB beside it. */
static int become(const char *name, const char *verb, const char *data, struct err *err)
{
	AUTO(free) char *program = launcher_program(name);
	AUTO(free) char *folder = program ? path_folder(program) : NULL;
	AUTO(free) char *file = folder ? path_join(folder, verb) : NULL;

	if (!program && strcmp(name, LAUNCHER_LOCAL) != 0)
		return err_set(err, ERR_USAGE, 0, "there is no launcher \"%s\"", name);
	if (!file || access(file, X_OK))
		return err_set(err, ERR_USAGE, 0, "launcher %s has nothing to %s", name, verb);
	char *argv[] = {file, (char *)data, NULL};
	execv(file, argv);
	return err_set(err, ERR_INFRA, errno, "run %s", file);
}

int cmd_launcher(int argc, char **argv)
{
	const char *data = "data";
	const struct option options[] = {
		{.name = "data-dir",
		 .arg = "DIR",
		 .kind = OPTION_STR,
		 .target = &data,
		 .help = "clean: of which data folder (default: data)"},
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "launcher",
		.operands = "install|clean NAME",
		.min = 2,
		.max = 2,
		.summary = "install what a launcher needs, or end what trials left at its engine",
		.text = "`install modal` fetches Modal's SDK into an environment of its own, in\n"
			"$XDG_CACHE_HOME/rollouts/launchers or ~/.cache/rollouts/launchers. `clean "
			"modal` "
			"ends\n"
			"sandboxes of killed rollouts, found by their tag.\n",
		.options = options,
		.examples = "rollouts launcher install modal\n"
			    "rollouts launcher clean modal --data-dir data\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	int status = cmd_options(&usage, argc, argv, &operands);
	struct err err;

	if (status >= 0)
		return status;
	const char *verb = operands.v[0];
	if (strcmp(verb, "install") != 0 && strcmp(verb, "clean") != 0)
		err_set(&err, ERR_USAGE, 0,
			"launcher %s: there are `launcher install NAME` and `launcher clean NAME`",
			verb);
	else if (!become(operands.v[1], verb, data, &err))
		return CMD_OK;
	return cmd_fail(&err);
}
