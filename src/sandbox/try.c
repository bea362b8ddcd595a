/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
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

enum { SECONDS = 20, SCRIPT_SECONDS = 120, TOLD_MAX = 64 << 10 };

struct trying {
	int folder, told;
	const char *backend;
	bool change_user;
	const char *script; /* NULL: whether one starts at all is the question */
};

static int limit_s(const struct trying *t)
{
	return t->script ? SCRIPT_SECONDS : SECONDS;
}

/* A write that fails tells nothing, and then nothing is told. */
static void tell(void *arg, int stream, const char *data, size_t n)
{
	const struct trying *t = arg;

	if (stream == 1)
		(void)!write(t->told, data, n);
}

static int use(const struct trying *t, struct sandbox_spec *spec, struct err *err)
{
	const char *const argv[] = {t->script ? "sh" : "true", t->script ? "-c" : NULL, t->script,
				    NULL};
	AUTO(strv) struct strv env = STRV_INIT;
	struct sandbox *s = NULL;
	struct sandbox_exit end;

	if (sandbox_open(&s, t->backend, spec, err))
		return -1;
	sandbox_env(s, &env);
	const struct sandbox_exec x = {.argv = argv,
				       .env = strv_items(&env),
				       .cwd = t->script ? "/tmp" : "/",
				       .on_output = t->script ? tell : NULL,
				       .on_output_arg = (void *)t,
				       .deadline_ms = clock_mono_ms() + limit_s(t) * 500};
	int rc = sandbox_exec(s, &x, &end, err);
	if (!rc && !t->script && (end.end != SANDBOX_EXITED || end.status))
		rc = err_set(err, ERR_INFRA, 0, "true(1) fails in a sandbox: %s",
			     end.text[0] ? end.text : "it does not end well");
	sandbox_close(s);
	return rc;
}

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
				    .bare = !t->script,
				    .cancel_fds = {-1, -1}};

	if (fchdir(t->folder))
		return err_set(err, ERR_INFRA, errno, "enter a folder");
	if (spec.plain && sandbox_plain_layout(&layout, t->folder, spec.scratch, err))
		return -1;
	if (t->change_user &&
	    (sandbox_inherited_open(&spec.inherited, &spec, USER_NOBODY, USER_NOBODY, err) ||
	     user_become(USER_NOBODY, err)))
		return -1;
	return use(t, &spec, err);
}

static int try_in(const struct trying *t, struct err *err)
{
	if (t->change_user && fchown(t->folder, USER_NOBODY, USER_NOBODY))
		return err_set(err, ERR_INFRA, errno, "give a folder away");
	if (!probe_run(as_a_trial, (void *)t, limit_s(t), err))
		return 0;
	return err->kind == ERR_LIMIT ? err_set(err, ERR_INFRA, 0,
						"a sandbox that was tried did not end within %d "
						"seconds",
						limit_s(t))
				      : -1;
}

static int try_script(int root_fd, const char *backend, const char *script, int told,
		      struct err *err)
{
	AUTO(free) char *name = xasprintf(DATA_DOCTOR_PREFIX "%d-box", (int)getpid());
	struct err ignored;

	if (mkdirat(root_fd, name, 0755))
		return err_set(err, ERR_INFRA, errno, "make directory %s", name);
	AUTO(fd) int folder = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct trying t = {folder, told, backend, user_may_change(), script};
	int rc = folder < 0 ? err_set(err, ERR_INFRA, errno, "open %s", name) : try_in(&t, err);
	if (path_remove_tree(root_fd, name, &ignored) && !rc) {
		*err = ignored;
		return -1;
	}
	return rc;
}

int sandbox_try(int root_fd, const char *backend, struct err *err)
{
	return try_script(root_fd, backend, NULL, -1, err);
}

const char *sandbox_usual(bool weaker, struct err *why)
{
	AUTO(fd) int folder = -1;
	struct err ignored;

	if (!weaker)
		return "local";
	folder = open("/var/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return folder >= 0 && sandbox_try(folder, "local", why) &&
			       !sandbox_try(folder, "landlock", &ignored)
		       ? "landlock"
		       : "local";
}

void sandbox_warm(int root_fd)
{
	struct err ignored;

	free(etc_find(root_fd, task_layout_prepared.home, &ignored));
}

int sandbox_try_script(int root_fd, const char *script, struct buf *out, struct err *err)
{
	AUTO(fd) int told = memfd_create("told", MFD_CLOEXEC);

	if (told < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	if (try_script(root_fd, "local", script, told, err))
		return -1;
	return lseek(told, 0, SEEK_SET) ? err_set(err, ERR_INFRA, errno, "seek")
					: path_read_fd(told, TOLD_MAX, out, err);
}
