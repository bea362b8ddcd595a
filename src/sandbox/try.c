/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/fdio.h"
#include "os/user.h"
#include "sandbox/sandbox.h"

#define SECONDS 20

static int become(uid_t uid, struct err *err)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return err_set(err, ERR_INFRA, errno, "become user %u", (unsigned)uid);
	/* Changing users made our /proc files root's, and a user namespace is mapped through them. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return 0;
}

static int use(struct sandbox_spec *spec, struct err *err)
{
	static const char *const argv[] = {"true", NULL};
	static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	const struct sandbox_exec x = {.argv = argv,
				       .env = env,
				       .cwd = "/",
				       .deadline_ms = clock_mono_ms() + SECONDS * 1000 / 2};
	struct sandbox *s = NULL;
	struct sandbox_exit end;

	if (sandbox_open(&s, "local", spec, err))
		return -1;
	int rc = sandbox_exec(s, &x, &end, err);
	if (!rc && (end.end != SANDBOX_EXITED || end.status))
		rc = err_set(err, ERR_INFRA, 0, "true(1) fails in a sandbox: %s",
			     end.text[0] ? end.text : "it does not end well");
	sandbox_close(s);
	return rc;
}

/* In a child: what a trial gives up is given up for good. */
static int as_a_trial(int folder, bool change_user, struct err *err)
{
	struct sandbox_spec spec = {.root_fd = folder,
				    .name = "try",
				    .layout = &task_layout_prepared,
				    .scratch = "box",
				    .workspace = WORKSPACE_COPY,
				    .limits = limits_default,
				    .cancel_fds = {-1, -1}};

	alarm(SECONDS);
	if (fchdir(folder))
		return err_set(err, ERR_INFRA, errno, "enter a folder");
	if (change_user &&
	    (sandbox_inherited_open(&spec.inherited, &spec, USER_NOBODY, USER_NOBODY, err) ||
	     become(USER_NOBODY, err)))
		return -1;
	return use(&spec, err);
}

static int try_in(int folder, bool change_user, struct err *err)
{
	struct err told = {0};
	int fds[2], status = 0;

	if (change_user && fchown(folder, USER_NOBODY, USER_NOBODY))
		return err_set(err, ERR_INFRA, errno, "give a folder away");
	if (fd_pipe(fds, err))
		return -1;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		int rc = as_a_trial(folder, change_user, &told);
		_exit(!rc || write(fds[1], &told, sizeof told) != (ssize_t)sizeof told ? !!rc : 2);
	}
	close(fds[1]);
	ssize_t n = pid > 0 ? read(fds[0], &told, sizeof told) : -1;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_set(err, ERR_INFRA, errno, "start a process");
	if (n == (ssize_t)sizeof told) {
		*err = told;
		return -1;
	}
	return status ? err_set(err, ERR_INFRA, 0,
				"a sandbox that was tried did not end within %d seconds", SECONDS)
		      : 0;
}

int sandbox_try(int root_fd, struct err *err)
{
	AUTO(free) char *name = xasprintf(DATA_DOCTOR_PREFIX "%d-box", (int)getpid());
	struct err ignored;

	if (mkdirat(root_fd, name, 0755))
		return err_set(err, ERR_INFRA, errno, "make directory %s", name);
	AUTO(fd) int folder = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = folder < 0 ? err_set(err, ERR_INFRA, errno, "open %s", name)
			    : try_in(folder, user_may_change(), err);
	if (path_remove_tree(root_fd, name, &ignored) && !rc) {
		*err = ignored;
		return -1;
	}
	return rc;
}
