/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "sandbox/rootfs-parts.h"

char *rootfs_at(const struct rootfs *st, const char *name)
{
	return xasprintf("%s/%s", st->dir, name);
}

int rootfs_place_as(const struct rootfs *st, const char *name, int tree, bool is_dir,
		    struct err *err)
{
	AUTO(free) char *to = rootfs_at(st, name);

	if (is_dir ? mkdir(to, 0755) : mknod(to, S_IFREG | 0444, 0))
		if (errno != EEXIST)
			return err_set(err, ERR_INFRA, errno, "make %s", to);
	if (move_mount(tree, "", AT_FDCWD, to, MOVE_MOUNT_F_EMPTY_PATH))
		return err_set(err, ERR_INFRA, errno, "mount %s", to);
	return 0;
}

int rootfs_clone(int dir_fd, const char *path, bool follow, struct err *err)
{
	int tree = open_tree(dir_fd, path,
			     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE |
				     (follow ? 0 : AT_SYMLINK_NOFOLLOW));

	return tree < 0 ? err_set(err, ERR_INFRA, errno, "show %s", path) : tree;
}

int rootfs_place(const struct rootfs *st, const char *name, int tree, struct err *err)
{
	struct stat s;

	if (fstat(tree, &s))
		return err_set(err, ERR_INFRA, errno, "stat %s", name);
	return rootfs_place_as(st, name, tree, S_ISDIR(s.st_mode), err);
}

int rootfs_bind(const struct rootfs *st, const char *name, int dir_fd, const char *path,
		struct err *err)
{
	AUTO(fd) int tree = rootfs_clone(dir_fd, path, false, err);

	return tree < 0 ? -1 : rootfs_place(st, name, tree, err);
}

int rootfs_tmpfs(const struct rootfs *st, const char *name, const char *options, struct err *err)
{
	AUTO(free) char *to = rootfs_at(st, name);

	if ((mkdir(to, 0755) && errno != EEXIST) ||
	    mount("tmpfs", to, "tmpfs", MS_NOSUID | MS_NODEV, options))
		return err_set(err, ERR_INFRA, errno, "mount a tmpfs on %s", to);
	return 0;
}

/* The tmpfs is ours alone: nobody sees a file half made. */
int rootfs_file(const struct rootfs *st, const char *name, const char *text, struct err *err)
{
	AUTO(free) char *path = rootfs_at(st, name);
	AUTO(fd) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (fd < 0 || fchmod(fd, 0444))
		return err_set(err, ERR_INFRA, errno, "make %s", path);
	return path_write_all(fd, text, strlen(text), err);
}

/* Overlayfs keeps what it must remember in user.* attributes here, which not every file system has. */
static int prepare_layers(int scratch, const char *layers, struct err *err)
{
	AUTO(free) char *upper_path = path_join(layers, "upper");
	AUTO(free) char *work = path_join(layers, "work");

	if (mkdirat(scratch, layers, 0700) || mkdirat(scratch, upper_path, 0755) ||
	    mkdirat(scratch, work, 0700))
		return err_set(err, ERR_INFRA, errno, "make directories for an overlay");
	AUTO(fd) int upper = openat(scratch, upper_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (upper < 0 || fsetxattr(upper, "user.rollouts", "1", 1, 0) ||
	    fremovexattr(upper, "user.rollouts"))
		return err_set(err, ERR_INFRA, errno,
			       "the data directory's file system has no user attributes");
	return 0;
}

int rootfs_overlay(const struct rootfs *st, int scratch, const char *below, const char *deepest,
		   const char *layers, const char *name, struct err *err)
{
	AUTO(free) char *to = rootfs_at(st, name);
	/* volatile: neither syncs on the agent's behalf nor, at the end, the whole file system. */
	AUTO(free)
	char *options = xasprintf("lowerdir=%s/%s%s%s,upperdir=%s/%s/upper,"
				  "workdir=%s/%s/work,userxattr,volatile",
				  st->dir, below, deepest ? ":" : "", deepest ? deepest : "",
				  st->dir, layers, st->dir, layers);
	struct stat lower;
	AUTO(free) char *from = rootfs_at(st, below);

	/* Overlayfs copies nothing up whose owner or group does not exist in our namespace. */
	if (stat(from, &lower))
		return err_set(err, ERR_INFRA, errno, "stat %s", from);
	if (lower.st_uid != 0 || lower.st_gid != 0)
		return err_set(err, ERR_INFRA, 0, "what is below belongs to another user or group");
	if (prepare_layers(scratch, layers, err) || rootfs_bind(st, layers, scratch, layers, err))
		return -1;
	if (mkdir(to, 0755) || mount("overlay", to, "overlay", MS_NOSUID | MS_NODEV, options))
		return err_set(err, ERR_INFRA, errno, "overlayfs is not permitted here");
	return 0;
}
