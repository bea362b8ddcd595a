/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/ask.h"
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/strv.h"
#include "os/spawn.h"

#define ASK_MS 120000

int engine_ask_failed(int status, const char *said, struct err *err)
{
	const bool usage = WIFEXITED(status) && WEXITSTATUS(status) == 2;

	return err_set(err, usage ? ERR_USAGE : ERR_INFRA, 0, "%s",
		       *said ? said : "rollouts-docker failed");
}

int engine_ask(const char *const *args, int dir_fd, struct buf *out, struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-docker");
	AUTO(strv) struct strv argv = STRV_INIT;
	int status = 0;

	if (access(program, X_OK))
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)",
			       program);
	strv_push(&argv, program);
	strv_pushv(&argv, args);
	const struct spawn s = {.argv = strv_items(&argv),
				.dir_fd = dir_fd,
				.in = -1,
				.out = -1,
				.err = STDERR_FILENO};
	if (spawn_run(&s, NULL, 0, 1 << 20, clock_mono_ms() + ASK_MS, out, NULL, &status, err))
		return err_wrap(err, "rollouts-docker %s", args[0]);
	if (!status)
		return 0;
	out->data[strcspn(out->data, "\n")] = '\0';
	return engine_ask_failed(status, out->data, err);
}
