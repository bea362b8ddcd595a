/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/inherited.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "sandbox/box.h"
#include "sandbox/etc.h"
#include "sandbox/sandbox.h"
#include "sandbox/userns.h"

static int open_filter(const char *name, struct err *err)
{
	AUTO(free) char *path = install_share(name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno,
			       "open %s: a file of rollouts itself is missing", path);
	return fd;
}

/* DETACH: our user is about to change, and the new one may not reach it by its path. */
static int open_source(struct source *out, char *path_take, bool detach, struct err *err)
{
	struct stat st;

	*out = (struct source){.path = path_take, .tree = -1};
	if (stat(out->path, &st))
		return err_set(err, ERR_INFRA, errno, "%s", out->path);
	if (!detach)
		return 0;
	out->tree =
		open_tree(AT_FDCWD, out->path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	return out->tree < 0 ? err_set(err, ERR_INFRA, errno, "%s", out->path) : 0;
}

/* A view of DIR in which what belongs to its owner belongs to UID and GID. */
static int map_owner(int root_fd, const char *dir, uid_t uid, gid_t gid, struct err *err)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
	struct stat st;

	if (fstatat(root_fd, dir, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, errno, "stat %s", dir);
	if (uid == geteuid() || st.st_uid == uid)
		return -1;
	AUTO(fd) int ns = userns_mapping(st.st_uid, uid, st.st_gid, gid, err);
	if (ns < 0)
		return -1;
	AUTO(fd)
	int tree =
		open_tree(root_fd, dir, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	attr.userns_fd = (uint64_t)ns;
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof attr))
		return err_set(err, ERR_INFRA, errno, "map the owner of %s", dir);
	return fd_steal(&tree);
}

static void open_lower(struct sandbox_inherited *r, const struct sandbox_spec *spec, uid_t uid,
		       gid_t gid)
{
	struct err why = {0};

	if (!spec->baseline)
		return;
	AUTO(free) char *repo = path_join(spec->baseline, BASELINE_REPO);
	AUTO(free) char *below = path_join(spec->baseline, BASELINE_BELOW);
	AUTO(fd) int lower = map_owner(spec->root_fd, repo, uid, gid, &why);
	if (lower >= 0 && path_exists(spec->root_fd, below)) {
		r->below.tree = map_owner(spec->root_fd, below, uid, gid, &why);
		if (r->below.tree < 0)
			close(fd_steal(&lower));
	}
	r->lower.tree = fd_steal(&lower);
	/* Not a failure: the workspace becomes a copy where its file system has no mapped mounts. */
	if (r->lower.tree < 0 && why.kind)
		log_debug("%s", why.msg);
}

static int open_mounts(struct sandbox_inherited *r, const struct sandbox_spec *spec, bool detach,
		       struct err *err)
{
	r->mounts = xcalloc(spec->mounts_n + 1, sizeof *r->mounts);
	for (size_t i = 0; i < spec->mounts_n; i++) {
		r->mounts_n++;
		if (open_source(&r->mounts[i], xstrdup(spec->mounts[i].host), detach, err))
			return err_wrap(err, "to be shown in the sandbox");
	}
	return 0;
}

/* Of another user's cache no overlay can be made, and a copy only where it can be read: then that is told. */
static int open_caches(struct sandbox_inherited *r, const struct sandbox_spec *spec, uid_t uid,
		       gid_t gid, bool detach, struct err *err)
{
	for (size_t i = 0; i < spec->caches_n; i++) {
		struct source *s = &r->caches[i];
		struct err why = {0};
		s->path = xstrdup(spec->caches[i].host);
		if (!path_is_dir(AT_FDCWD, s->path))
			return err_set(err, ERR_INFRA, 0, "caches: %s is not a directory", s->path);
		if (!detach)
			continue;
		s->tree = map_owner(AT_FDCWD, s->path, uid, gid, &why);
		r->caches_mapped |= s->tree >= 0;
		if (s->tree < 0 && (s->tree = open_tree(AT_FDCWD, s->path,
							OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)) < 0)
			return err_set(err, ERR_INFRA, errno, "%s", s->path);
	}
	return 0;
}

/* Made while we may. */
static void open_group(struct sandbox_inherited *r, const struct limits *l)
{
	const struct cgroup_limits limits = {
		.memory_bytes = l->memory_mb << 20, .pids = l->pids, .cpus = l->cpus};
	struct err why = {0};

	if (cgroup_open(&r->group, &limits, &why))
		log_debug("limits are watched: %s", why.msg);
}

/* Root of a container may change its user, but mounts nothing outside a namespace of its own. Nothing can be mounted there
 * by a descriptor from before, but the working directory comes along. */
static int enable_mounts(int root_fd, struct err *err)
{
	AUTO(fd) int tree = open_tree(AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree >= 0 || errno != EPERM)
		return 0;
	if (fchdir(root_fd))
		return err_set(err, ERR_INFRA, errno, "enter the data directory");
	if (userns_enter_with_mounts(err))
		return -1;
	AUTO(fd) int again = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return again < 0 || dup3(again, root_fd, O_CLOEXEC) < 0
		       ? err_set(err, ERR_INFRA, errno, "open the data directory again")
		       : 0;
}

/* Many a program does without, so a sandbox does. */
static char *find_etc(int root_fd, const char *home)
{
	struct err err;
	char *path = etc_find(root_fd, home, &err);

	if (!path)
		log_warn("what programs need of /etc cannot be shown to them: %s", err.msg);
	return path;
}

static int open_itself(struct source *out, char *path_take, struct err *err)
{
	*out = (struct source){.path = path_take, .tree = open(path_take, O_PATH | O_CLOEXEC)};
	return out->tree < 0 ? err_set(err, ERR_INFRA, errno, "%s", out->path) : 0;
}

static int open_plain(struct sandbox_inherited *r, const struct sandbox_spec *spec, struct err *err)
{
	r->seccomp = open_filter(spec->gateway || spec->alone ? "seccomp-landlock-tcp.bpf"
							      : "seccomp-landlock.bpf",
				 err);
	return r->seccomp < 0 || open_itself(&r->init, install_libexec("rollouts-init"), err) ? -1
											      : 0;
}

static int open_all(struct sandbox_inherited *r, const struct sandbox_spec *spec, uid_t uid,
		    gid_t gid, struct err *err)
{
	const bool detach = uid != geteuid();

	if (spec->gateway && open_itself(&r->gateway, xstrdup(spec->gateway), err))
		return -1;
	if (spec->image) {
		if (box_start(r, spec, uid, gid, err))
			return -1;
		if (spec->workspace != WORKSPACE_COPY)
			open_lower(r, spec, uid, gid);
		return open_caches(r, spec, uid, gid, detach, err);
	}
	open_group(r, &spec->limits);
	r->own_user = detach;
	if (spec->plain)
		return open_plain(r, spec, err);
	if (!spec->bare)
		r->etc = find_etc(spec->root_fd, spec->layout->home);
	if (detach && enable_mounts(spec->root_fd, err))
		return -1;
	r->seccomp = open_filter("seccomp.bpf", err);
	if (r->seccomp < 0 ||
	    open_source(&r->init, install_libexec("rollouts-init"), detach, err) ||
	    open_mounts(r, spec, detach, err) || open_caches(r, spec, uid, gid, detach, err))
		return -1;
	open_lower(r, spec, uid, gid);
	return 0;
}

int sandbox_inherited_open(struct sandbox_inherited **out, const struct sandbox_spec *spec,
			   uid_t uid, gid_t gid, struct err *err)
{
	struct sandbox_inherited *r = xcalloc(1, sizeof *r);

	r->by_root = uid == 0;
	r->group = (struct cgroup)CGROUP_INIT;
	r->box = r->box_process.pidfd = r->seccomp = -1;
	r->init.tree = r->gateway.tree = r->lower.tree = r->below.tree = -1;
	for (size_t i = 0; i < ARRAY_SIZE(r->caches); i++)
		r->caches[i].tree = -1;
	if (open_all(r, spec, uid, gid, err)) {
		sandbox_inherited_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

static void source_release(struct source *s)
{
	free(s->path);
	if (s->tree >= 0)
		close(s->tree);
}

void sandbox_inherited_free(struct sandbox_inherited *r)
{
	if (!r)
		return;
	if (r->seccomp >= 0)
		close(r->seccomp);
	source_release(&r->init);
	source_release(&r->gateway);
	source_release(&r->lower);
	source_release(&r->below);
	for (size_t i = 0; i < r->mounts_n; i++)
		source_release(&r->mounts[i]);
	free(r->mounts);
	for (size_t i = 0; i < ARRAY_SIZE(r->caches); i++)
		source_release(&r->caches[i]);
	free(r->etc);
	cgroup_release(&r->group);
	box_end(r);
	free(r);
}
