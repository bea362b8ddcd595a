/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/rootfs.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/dir.h"
#include "sandbox/refusal.h"
#include "sandbox/processors.h"
#include "sandbox/rootfs-parts.h"

#define OWN "/.rollouts" /* in the box, on its read-only root: what belongs to us */

/* The host's program folders: shown as what they are, links or directories. */
static const char *const system_dirs[] = {"/usr",   "/bin",   "/sbin",	"/lib",
					  "/lib32", "/lib64", "/libx32"};

/* All sources are opened before the rootfs covers a directory that may hold them. */
static int open_sources(struct sandbox_inherited *r, struct err *err)
{
	for (size_t i = 0; i <= r->mounts_n; i++) {
		struct source *s = i < r->mounts_n ? &r->mounts[i] : &r->init;
		if (s->path && s->tree < 0 &&
		    (s->tree = rootfs_clone(AT_FDCWD, s->path, true, err)) < 0)
			return -1;
	}
	return 0;
}

static int open_caches(struct sandbox_inherited *r, struct err *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->caches); i++) {
		struct source *s = &r->caches[i];
		if (s->path && s->tree < 0 &&
		    (s->tree = rootfs_clone(AT_FDCWD, s->path, true, err)) < 0)
			return -1;
	}
	return 0;
}

static int place_sources(const struct rootfs *st, const struct sandbox_spec *spec,
			 const struct sandbox_inherited *r, struct err *err)
{
	char name[32];

	if (rootfs_place(st, "init", r->init.tree, err))
		return -1;
	for (size_t i = 0; i < r->mounts_n; i++) {
		const char *box = spec->mounts[i].box;
		snprintf(name, sizeof name, "mount%zu", i);
		/* bubblewrap makes no new name in a read-only /etc. */
		if (rootfs_place(st, rootfs_name_in_etc(box) ? box + 1 : name, r->mounts[i].tree,
				 err))
			return err_wrap(err, "%s", r->mounts[i].path);
	}
	return 0;
}

/* Any directory that exists will do: it is covered in our namespace alone. */
static int open_rootfs(struct rootfs *st, struct err *err)
{
	static const char *const places[] = {"/mnt", "/media", "/srv", "/tmp"};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (!path_is_dir(AT_FDCWD, places[i]))
			continue;
		if (!mount("tmpfs", places[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=8m")) {
			st->dir = places[i];
			return 0;
		}
		err_set(err, ERR_INFRA, errno, "cannot mount in a user namespace");
		return refusal_explain(err);
	}
	return err_set(err, ERR_INFRA, 0, "none of /mnt, /media, /srv, /tmp is a directory");
}

/* The baseline, read-only, as "base"; where its owner was mapped, that view covers its repo. */
static int show_base(const struct rootfs *st, int root, const char *baseline,
		     struct sandbox_inherited *inherited, struct err *err)
{
	const int lower = inherited->lower.tree, below = inherited->below.tree;
	struct mount_attr attr = {.attr_set =
					  MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
	AUTO(free) char *base = rootfs_at(st, "base");

	if (rootfs_bind(st, "base", root, baseline, err))
		return -1;
	if ((lower >= 0 && rootfs_place_as(st, "base/repo", lower, true, err)) ||
	    (below >= 0 && rootfs_place_as(st, "base/" BASELINE_BELOW, below, true, err)))
		return -1;
	if (mount_setattr(AT_FDCWD, base, AT_RECURSIVE, &attr, sizeof attr))
		return err_set(err, ERR_INFRA, errno, "make %s read-only", base);
	return 0;
}

/* A container shows the folder "repo": an overlay is put over it there, which takes root. */
static int overlay(struct rootfs *st, const struct sandbox_spec *spec, int scratch, bool by_root,
		   struct err *err)
{
	if (spec->image && !by_root)
		return err_set(err, ERR_INFRA, 0,
			       "an overlay in a container takes a run that was started by root");
	AUTO(free) char *below = rootfs_at(st, "base/" BASELINE_BELOW);
	if (rootfs_overlay(st, scratch, "base/repo", path_is_dir(AT_FDCWD, below) ? below : NULL,
			   "layers", "repo", err))
		return -1;
	if (spec->image && mkdirat(scratch, "repo", 0755))
		return err_set(err, ERR_INFRA, errno, "make directory repo");
	st->overlay = true;
	return 0;
}

/* What of FROM has no namesake goes to NAME below TO. */
static int merge(int from_dir, int to_dir, const char *name, struct err *err)
{
	struct stat theirs, ours;

	if (fstatat(to_dir, name, &ours, AT_SYMLINK_NOFOLLOW))
		return path_copy_tree(from_dir, name, to_dir, name, err);
	if (fstatat(from_dir, name, &theirs, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(theirs.st_mode) ||
	    !S_ISDIR(ours.st_mode))
		return 0;
	int fd = openat(from_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	AUTO(fd) int to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!d || to < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", name);
	for (struct dirent *e; (e = readdir(d));)
		if (!dir_is_dots(e->d_name) && merge(fd, to, e->d_name, err))
			return -1;
	return 0;
}

static int copy_baseline(const struct rootfs *st, const char *from, int scratch, struct err *err)
{
	AUTO(free) char *base = rootfs_at(st, "base");
	AUTO(free) char *below = path_join(base, BASELINE_BELOW);

	if (path_copy_tree(AT_FDCWD, from, scratch, "repo", err))
		return -1;
	int fd = open(below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	AUTO(fd) int to = openat(scratch, "repo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (struct dirent *e; d && (e = readdir(d));)
		if (!dir_is_dots(e->d_name) && merge(fd, to, e->d_name, err))
			return -1;
	return 0;
}

static int build_workspace(struct rootfs *st, const struct sandbox_spec *spec, int scratch,
			   bool by_root, struct err *err)
{
	struct err why = {0};
	AUTO(free) char *from = rootfs_at(st, "base/repo");

	if (spec->workspace != WORKSPACE_COPY) {
		if (!overlay(st, spec, scratch, by_root, &why))
			return 0;
		if (spec->workspace == WORKSPACE_OVERLAY) {
			*err = why;
			return err_wrap(err,
					"workspace = \"overlay\" (\"auto\" would make a copy)");
		}
		log_debug("workspace becomes a copy: %s", why.msg);
	}
	if (copy_baseline(st, from, scratch, err))
		return err_wrap(err, "copy the baseline");
	return rootfs_bind(st, "repo", scratch, "repo", err);
}

static int detach(const struct rootfs *st, const char *name, int *trees, size_t *n, struct err *err)
{
	AUTO(free) char *path = rootfs_at(st, name);

	trees[*n] = rootfs_clone(AT_FDCWD, path, false, err);
	if (trees[*n] < 0)
		return -1;
	++*n;
	return 0;
}

int rootfs_detach(const struct rootfs *st, int *trees, size_t *trees_n, struct err *err)
{
	char name[32];

	*trees_n = 0;
	if (st->overlay && detach(st, "repo", trees, trees_n, err))
		return -1;
	for (size_t i = 0; i < SANDBOX_CACHES_MAX; i++) {
		snprintf(name, sizeof name, ROOTFS_CACHE, i);
		if ((st->cache_overlays >> i & 1) && detach(st, name, trees, trees_n, err))
			return -1;
	}
	return 0;
}

static int build_scratch(struct rootfs *st, const struct sandbox_spec *spec, int root,
			 struct sandbox_inherited *inherited, struct err *err)
{
	const bool by_root = inherited->lower.tree >= 0;
	static const char *const dirs[] = {"app", "tmp", "vartmp", "home", "diff"};
	AUTO(fd)
	int scratch = openat(root, spec->scratch, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (scratch < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", spec->scratch);
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (rootfs_bind(st, dirs[i], scratch, dirs[i], err))
			return -1;
	if (spec->baseline && build_workspace(st, spec, scratch, by_root, err))
		return -1;
	return rootfs_caches(st, spec, inherited, scratch, err);
}

static int build_memory(const struct rootfs *st, const struct limits *l, struct err *err)
{
	int64_t mb = l->memory_mb > 0 ? l->memory_mb / 4 : 256;
	char options[64];

	/* The number of files is bounded too: their inodes are kernel memory that no size covers. */
	snprintf(options, sizeof options, "mode=1777,nr_inodes=16k,size=%lldm",
		 (long long)(mb < 16	 ? 16
			     : mb > 1024 ? 1024
					 : mb));
	return rootfs_tmpfs(st, "shm", options, err) ||
			       rootfs_tmpfs(st, "run", "mode=755,nr_inodes=1k,size=16m", err)
		       ? -1
		       : 0;
}

int rootfs_build(struct rootfs *st, const struct sandbox_spec *spec,
		 struct sandbox_inherited *inherited, struct err *err)
{
	/* Of the data root only the working directory has come along into this mount namespace. */
	AUTO(fd) int root = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);

	st->overlay = false;
	if (root < 0)
		return err_set(err, ERR_INFRA, errno, "open the data directory");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
		err_set(err, ERR_INFRA, errno, "cannot mount in a user namespace");
		return refusal_explain(err);
	}
	if (open_caches(inherited, err))
		return -1;
	/* A container engine sees none of our mounts: there the rootfs serves to make the diff. */
	if (spec->image ? open_rootfs(st, err)
			: open_sources(inherited, err) || open_rootfs(st, err) ||
				  rootfs_etc(st, spec, root, inherited->etc, err) ||
				  rootfs_sys(st, spec, inherited, err) ||
				  build_memory(st, &spec->limits, err) ||
				  place_sources(st, spec, inherited, err))
		return -1;
	if (spec->baseline && show_base(st, root, spec->baseline, inherited, err))
		return -1;
	return build_scratch(st, spec, root, inherited, err);
}

static void option(struct strv *argv, const char *flag, const struct rootfs *st, const char *name,
		   const char *box)
{
	strv_push(argv, flag);
	strv_take(argv, rootfs_at(st, name));
	strv_push(argv, box);
}

static void add_isolation(struct strv *argv, int seccomp)
{
	static const char *const always[] = {
		"bwrap",
		"--unshare-user",
		"--disable-userns",
		"--uid",
		"1000",
		"--gid",
		"1000",
		"--unshare-pid",
		"--unshare-ipc",
		"--unshare-uts",
		"--unshare-cgroup-try",
		"--die-with-parent",
		"--as-pid-1",
		"--new-session",
		"--cap-drop",
		"ALL",
		"--clearenv",
		NULL,
	};

	strv_pushv(argv, always);
	strv_push(argv, "--seccomp");
	strv_pushf(argv, "%d", seccomp);
}

static void add_system(struct strv *argv)
{
	char target[256];
	struct stat s;

	for (size_t i = 0; i < ARRAY_SIZE(system_dirs); i++) {
		const char *dir = system_dirs[i];
		if (lstat(dir, &s))
			continue;
		ssize_t n = S_ISLNK(s.st_mode) ? readlink(dir, target, sizeof target - 1) : -1;
		strv_push(argv, n > 0 ? "--symlink" : "--ro-bind");
		if (n > 0)
			target[n] = '\0';
		strv_push(argv, n > 0 ? target : dir);
		strv_push(argv, dir);
	}
}

static bool is_shown_already(const struct sandbox_mount *m)
{
	return !strcmp(m->host, m->box) &&
	       (!strncmp(m->box, "/usr/", 5) || !strcmp(m->box, "/usr"));
}

static void add_places(struct strv *argv, const struct rootfs *st, const struct sandbox_spec *spec,
		       const struct sandbox_inherited *inherited)
{
	char name[32];

	strv_pushv(argv, (const char *const[]){"--proc", "/proc", "--dev", "/dev", NULL});
	option(argv, "--ro-bind", st, "cgroups", "/proc/cgroups");
	if (processors_are_fewer())
		option(argv, "--ro-bind", st, PROCESSORS_INFO, "/proc/cpuinfo");
	option(argv, "--bind", st, "shm", "/dev/shm");
	option(argv, "--bind", st, "run", "/run");
	option(argv, "--ro-bind", st, "etc", "/etc");
	option(argv, "--ro-bind", st, "sys", "/sys");
	option(argv, "--bind", st, "tmp", "/tmp");
	option(argv, "--bind", st, "vartmp", "/var/tmp");
	option(argv, "--bind", st, "home", spec->layout->home);
	option(argv, "--bind", st, "app", spec->layout->app);
	if (spec->baseline)
		option(argv, "--bind", st, "repo", spec->layout->repo);
	for (size_t i = 0; i < inherited->mounts_n; i++) {
		snprintf(name, sizeof name, "mount%zu", i);
		if (!is_shown_already(&spec->mounts[i]) && !rootfs_name_in_etc(spec->mounts[i].box))
			option(argv, "--ro-bind", st, name, spec->mounts[i].box);
	}
	for (size_t i = 0; i < spec->caches_n; i++) {
		snprintf(name, sizeof name, ROOTFS_CACHE, i);
		option(argv, "--bind", st, name, spec->caches[i].box);
	}
	option(argv, "--ro-bind", st, "init", OWN "/init");
	/* The kernel's switches below /proc/sys ask for the machine's root, not for a capability; and the memory of another process
	 * can be written to by its name there. */
	if (inherited->by_root || spec->untraced)
		strv_pushv(argv, (const char *const[]){"--remount-ro", "/proc", NULL});
	/* Both are tmpfs without a size: nothing of the agent's may grow there. */
	strv_pushv(argv, (const char *const[]){"--remount-ro", "/dev", "--remount-ro", "/", NULL});
}

void rootfs_command(const struct rootfs *st, struct strv *argv, const struct sandbox_spec *spec,
		    const struct sandbox_inherited *inherited, int ctl)
{
	add_isolation(argv, inherited->seccomp);
	add_system(argv);
	add_places(argv, st, spec, inherited);
	strv_pushv(argv, (const char *const[]){"--chdir", "/", "--", OWN "/init", NULL});
	strv_pushf(argv, "fd:%d", ctl);
}
