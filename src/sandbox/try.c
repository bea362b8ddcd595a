/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/probe.h"
#include "os/user.h"
#include "sandbox/etc.h"
#include "sandbox/sandbox.h"

#define SECONDS 20

static int use(struct sandbox_spec *spec, const char *backend, struct err *err)
{
	static const char *const argv[] = {"true", NULL};
	static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	const struct sandbox_exec x = {.argv = argv,
				       .env = env,
				       .cwd = "/",
				       .deadline_ms = clock_mono_ms() + SECONDS * 1000 / 2};
	struct sandbox *s = NULL;
	struct sandbox_exit end;

	if (sandbox_open(&s, backend, spec, err))
		return -1;
	int rc = sandbox_exec(s, &x, &end, err);
	if (!rc && (end.end != SANDBOX_EXITED || end.status))
		rc = err_set(err, ERR_INFRA, 0, "true(1) fails in a sandbox: %s",
			     end.text[0] ? end.text : "it does not end well");
	sandbox_close(s);
	return rc;
}

struct trying {
	int folder;
	const char *backend;
	bool change_user;
};

/* In a child: what a trial gives up is given up for good. */
static int as_a_trial(void *arg, struct err *err)
{
	const struct trying *t = arg;
	struct task_layout layout = task_layout_prepared;
	struct sandbox_spec spec = {.root_fd = t->folder,
				    .name = "try",
				    .layout = &layout,
				    .plain = !strcmp(t->backend, "landlock"),
				    .scratch = "box",
				    .workspace = WORKSPACE_COPY,
				    .limits = limits_default,
				    .bare = true,
				    .cancel_fds = {-1, -1}};

	if (fchdir(t->folder))
		return err_set(err, ERR_INFRA, errno, "enter a folder");
	if (spec.plain && sandbox_plain_layout(&layout, t->folder, spec.scratch, err))
		return -1;
	if (t->change_user &&
	    (sandbox_inherited_open(&spec.inherited, &spec, USER_NOBODY, USER_NOBODY, err) ||
	     user_become(USER_NOBODY, err)))
		return -1;
	return use(&spec, t->backend, err);
}

static int try_in(int folder, const char *backend, bool change_user, struct err *err)
{
	struct trying t = {folder, backend, change_user};

	if (change_user && fchown(folder, USER_NOBODY, USER_NOBODY))
		return err_set(err, ERR_INFRA, errno, "give a folder away");
	if (!probe_run(as_a_trial, &t, SECONDS, err))
		return 0;
	return err->kind == ERR_LIMIT ? err_set(err, ERR_INFRA, 0,
						"a sandbox that was tried did not end within %d "
						"seconds",
						SECONDS)
				      : -1;
}

int sandbox_try(int root_fd, const char *backend, struct err *err)
{
	AUTO(free) char *name = xasprintf(DATA_DOCTOR_PREFIX "%d-box", (int)getpid());
	struct err ignored;

	/* Found once, before many workers would look for it at a time. */
	free(etc_find(root_fd, &ignored));
	if (mkdirat(root_fd, name, 0755))
		return err_set(err, ERR_INFRA, errno, "make directory %s", name);
	AUTO(fd) int folder = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = folder < 0 ? err_set(err, ERR_INFRA, errno, "open %s", name)
			    : try_in(folder, backend, user_may_change(), err);
	if (path_remove_tree(root_fd, name, &ignored) && !rc) {
		*err = ignored;
		return -1;
	}
	return rc;
}
