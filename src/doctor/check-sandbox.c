/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "doctor/check.h"
#include "engine/ask.h"
#include "os/cgroup.h"
#include "os/spawn.h"
#include "os/user.h"
#include "sandbox/refusal.h"
#include "sandbox/sandbox.h"
#include "sandbox/userns.h"

#define SECONDS_20 20000

static void check_kernel(struct checks *c)
{
	struct utsname u;
	struct err err;

	if (uname(&u))
		memcpy(u.release, "?", 2);
	AUTO(fd) int beneath = path_open_beneath(c->scratch, "lower/file", O_RDONLY, 0, &err);
	AUTO(fd) int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (beneath >= 0 && pidfd >= 0)
		check_add(c, CHECK_OK, "kernel", NULL, "Linux %s", u.release);
	else
		check_add(c, CHECK_FAILED, "kernel",
			  "needs Linux 5.11 or later, and in a container a system call filter "
			  "that knows openat2",
			  "Linux %s: %s does not work", u.release,
			  beneath < 0 ? "openat2" : "pidfd_open");
}

/* AppArmor lets unshare() succeed and forbids everything afterwards: a mount tells. */
static int own_mounts(void *arg, struct err *err)
{
	if (userns_enter(CLONE_NEWNS, err))
		return -1;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "tmp", "tmpfs", 0, NULL)) {
		(void)err_set(err, ERR_INFRA, errno, "cannot mount in a user namespace");
		return refusal_explain(err);
	}
	return 0;
}

static bool check_namespaces(struct checks *c)
{
	struct err err;

	if (!check_in_child(c, NULL, own_mounts, NULL, &err)) {
		check_add(c, CHECK_OK, "user namespaces", NULL, "can be made and mounted in");
		return true;
	}
	check_add_error(
		c, CHECK_FAILED, "user namespaces", &err,
		"without them there are sandbox = \"landlock\", which is weaker, and \"none\"");
	return false;
}

static int overlay(void *arg, struct err *err)
{
	if (own_mounts(arg, err))
		return -1;
	if (mount("overlay", "merged", "overlay", 0,
		  "lowerdir=lower,upperdir=upper,workdir=work,userxattr"))
		return err_set(err, ERR_INFRA, errno, "mount an overlay");
	AUTO(fd) int fd = open("merged/new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || unlink("merged/file"))
		return err_set(err, ERR_INFRA, errno, "change an overlay");
	if (access("lower/file", F_OK) || access("upper/new", F_OK))
		return err_set(err, ERR_INFRA, 0, "an overlay does not keep its layers apart");
	return 0;
}

static bool is_overlay(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

static void check_overlay(struct checks *c)
{
	struct err err;

	if (!check_in_child(c, NULL, overlay, NULL, &err))
		check_add(c, CHECK_OK, "overlayfs", NULL,
			  "mounts over the data folder's file system");
	else if (is_overlay(c->scratch))
		check_add(c, CHECK_LESS, "overlayfs",
			  "each trial copies its repository instead, slower for large ones: put "
			  "the data folder on a volume (docker run -v rollouts:/data, and "
			  "--data-dir /data)",
			  "not on top of another, which a container's own files are");
	else
		check_add_error(
			c, CHECK_LESS, "overlayfs", &err,
			"each trial copies its repository instead: slower for large ones. Needs "
			"Linux 5.11 and a data "
			"folder on ext4, xfs, btrfs or tmpfs");
}

/* Where version 2 is mounted, and our group in it; false when this machine has none. */
static bool own_group(char **path, bool *hybrid)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;
	AUTO(fd) int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	const char *top = "/sys/fs/cgroup";

	if (fd < 0 || path_read_fd(fd, 1 << 16, &text, &ignored))
		return false;
	*hybrid = strstr(text.data, ":memory:") || strstr(text.data, ",memory");
	char *line = strncmp(text.data, "0::", 3) == 0 ? text.data : strstr(text.data, "\n0::");
	if (!line)
		return false;
	line = strstr(line, "0::") + 3;
	*strchrnul(line, '\n') = '\0';
	if (access("/sys/fs/cgroup/cgroup.controllers", F_OK))
		top = "/sys/fs/cgroup/unified";
	*path = xasprintf("%s%s", top, strcmp(line, "/") == 0 ? "" : line);
	return access(*path, F_OK) == 0;
}

static void missing_controllers(const char *group, struct buf *missing)
{
	static const char *const wanted[] = {"memory", "pids"};
	AUTO(free) char *file = path_join(group, "cgroup.controllers");
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(fd) int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct err ignored;

	if (fd >= 0)
		(void)!path_read_fd(fd, 1 << 12, &text, &ignored);
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (!text.len || !strstr(text.data, wanted[i]))
			buf_addf(missing, "%s%s", missing->len ? ", " : "", wanted[i]);
}

static void check_cgroups(struct checks *c)
{
	static const char watched[] =
		"memory and disk use are watched each second instead of held by the kernel";
	AUTO(free) char *group = NULL;
	AUTO(free) char *remedy = NULL;
	AUTO(buf) struct buf missing = BUF_INIT;
	bool hybrid = false;

	if (!own_group(&group, &hybrid)) {
		check_add(c, CHECK_LESS, "cgroup v2", watched, "not there");
		return;
	}
	if (hybrid) {
		remedy = xasprintf("%s; boot with systemd.unified_cgroup_hierarchy=1", watched);
		check_add(c, CHECK_LESS, "cgroup v2", remedy,
			  "version 1 has the memory controller on this machine (hybrid)");
		return;
	}
	remedy = xasprintf(
		"%s; start with: systemd-run --user --scope -p Delegate=yes rollouts run ...",
		watched);
	missing_controllers(group, &missing);
	if (missing.len)
		check_add(c, CHECK_LESS, "cgroup v2", remedy, "our group is without %s",
			  missing.data);
	else if (access(group, W_OK))
		check_add(c, CHECK_LESS, "cgroup v2", remedy, "not delegated to us: %s",
			  strerror(errno));
	else if (!cgroup_make_room())
		check_add(c, CHECK_LESS, "cgroup v2", remedy,
			  "delegated, but other processes are in our group");
	else
		check_add(c, CHECK_OK, "cgroup v2", NULL, "delegated: memory, pids");
	cgroup_leave_room();
}

static int run_bwrap(void *arg, struct err *err)
{
	static const char *const argv[] = {"bwrap",
					   "--unshare-user",
					   "--unshare-pid",
					   "--unshare-net",
					   "--unshare-ipc",
					   "--unshare-uts",
					   "--die-with-parent",
					   "--cap-drop",
					   "ALL",
					   "--ro-bind",
					   "/",
					   "/",
					   "--proc",
					   "/proc",
					   "--dev",
					   "/dev",
					   "true",
					   NULL};
	const struct spawn s = {.argv = argv, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	AUTO(buf) struct buf out = BUF_INIT, text = BUF_INIT;
	char ended[48];
	int status;

	if (userns_enter(CLONE_NEWNS, err) ||
	    spawn_run(&s, NULL, 0, 4096, clock_mono_ms() + SECONDS_20, &out, &text, &status, err))
		return -1;
	*strchrnul(text.data, '\n') = '\0';
	if (!status)
		return 0;
	(void)err_set(err, ERR_INFRA, 0, "%s",
		      text.data[0] ? text.data : spawn_status_text(status, ended));
	return strstr(text.data, "namespace") || strstr(text.data, "uid map") ||
			       strstr(text.data, "mount proc")
		       ? refusal_explain(err)
		       : -1;
}

static const char *bwrap_remedy(const struct err *err)
{
	static const struct {
		const char *said, *remedy;
	} known[] = {
		{"nknown option", "this bubblewrap is too old: install 0.8 or later"},
	};

	if (err->sys == ENOENT)
		return "apt-get install bubblewrap";
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strstr(err->msg, known[i].said))
			return known[i].remedy;
	return "the bwrap first on PATH must work; see what it says: bwrap --ro-bind / / "
	       "--unshare-all true";
}

static void check_bwrap(struct checks *c, bool namespaces)
{
	struct err err;

	if (!namespaces)
		check_add(c, CHECK_FAILED, "bubblewrap", "see user namespaces", "not tried");
	else if (!check_in_child(c, NULL, run_bwrap, NULL, &err))
		check_add(c, CHECK_OK, "bubblewrap", NULL, "starts a sandbox");
	else
		check_add_error(c, CHECK_FAILED, "bubblewrap", &err, bwrap_remedy(&err));
}

/* All of it together: what the checks above cannot see. */
static void check_all_of_it(struct checks *c)
{
	const int64_t start = clock_mono_ms();
	struct err err;

	if (!sandbox_try(c->scratch, "local", &err))
		check_add(c, CHECK_OK, "sandbox", NULL, "starts, runs a command, ends: %lld ms",
			  (long long)(clock_mono_ms() - start));
	else
		check_add_error(c, CHECK_FAILED, "sandbox", &err, "see the lines above");
}

/* Of interest only where nothing better starts. */
static void check_landlock(struct checks *c)
{
	const int64_t start = clock_mono_ms();
	struct err err;

	if (!sandbox_try(c->scratch, "landlock", &err))
		check_add(c, CHECK_OK, "landlock", NULL,
			  "a weaker sandbox starts: %lld ms (run --allow-weaker-sandbox, "
			  "docs/sandbox.md)",
			  (long long)(clock_mono_ms() - start));
	else
		check_add_error(
			c, CHECK_LESS, "landlock", &err,
			"no weaker sandbox starts either: it needs Linux 5.13 with Landlock");
}

/* Only tasks with a Dockerfile need one, and those may run without. */
static void check_engine(struct checks *c)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct err err;

	if (engine_ask((const char *const[]){"find", NULL}, AT_FDCWD, &out, &err)) {
		check_add(c, CHECK_LESS, "containers",
			  "for tasks with a Dockerfile: install and start Docker or Podman's "
			  "service; or set sandbox = "
			  "\"local\"",
			  "%s", err.msg);
		return;
	}
	char *about = strchr(out.data, '\n');
	if (about)
		*about++ = '\0';
	check_add(c, CHECK_OK, "containers", NULL, "%.*s at %s",
		  about ? (int)strcspn(about, "\n") : 0, about ? about : "", out.data);
}

void check_sandbox(struct checks *c)
{
	check_kernel(c);
	bool namespaces = check_namespaces(c);
	if (namespaces)
		check_overlay(c);
	check_cgroups(c);
	check_bwrap(c, namespaces);
	if (checks_passed(c))
		check_all_of_it(c);
	if (!checks_passed(c))
		check_landlock(c);
	check_engine(c);
}
