/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/probe.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "os/fdio.h"

static _Noreturn void child(probe_fn *probe, void *arg, unsigned seconds, int answer)
{
	struct err err = {0};

	signal(SIGALRM, SIG_DFL);
	alarm(seconds);
	if (!probe(arg, &err))
		_exit(0);
	/* Shorter than PIPE_BUF: written whole. */
	_exit(write(answer, &err, sizeof err) == (ssize_t)sizeof err ? 1 : 2);
}

int probe_run(probe_fn *probe, void *arg, unsigned seconds, struct err *err)
{
	struct err told = {0};
	int fds[2], status = 0;

	if (fd_pipe(fds, err))
		return -1;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		child(probe, arg, seconds, fds[1]);
	close(fds[1]);
	ssize_t n = pid > 0 ? read(fds[0], &told, sizeof told) : -1;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_set(err, ERR_INFRA, errno, "start a process");
	if (n == (ssize_t)sizeof told) {
		*err = told;
		return -1;
	}
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return err_set(err, ERR_LIMIT, 0, "no answer within %u seconds", seconds);
	return status ? err_set(err, ERR_INFRA, 0, "the process that tried it died") : 0;
}
