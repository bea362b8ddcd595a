/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/dir.h"
#include "sandbox/etc.h"
#include "sandbox/rootfs-parts.h"

/* The name that processes inside are told, which must resolve as well. */
static int show_names(const struct rootfs *st, struct err *err)
{
	char name[HOST_NAME_MAX + 1] = "";
	AUTO(fd) int dir = open(st->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)!gethostname(name, sizeof name - 1);
	AUTO(free) char *line = xasprintf("%s\n", name);
	AUTO(free) char *hosts = xasprintf(ROOTFS_HOSTS, name);
	if (dir < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", st->dir);
	return rootfs_file(st, "hostname", line, err) || rootfs_file(st, "hosts", hosts, err) ||
			       rootfs_bind(st, "etc/hostname", dir, "hostname", err) ||
			       rootfs_bind(st, "etc/hosts", dir, "hosts", err)
		       ? -1
		       : 0;
}

/* In a folder of this sandbox alone. */
static int write_least(const struct rootfs *st, const char *home, struct err *err)
{
	AUTO(free) char *etc = rootfs_at(st, "etc");

	if (mkdir(etc, 0755))
		return err_set(err, ERR_INFRA, errno, "make %s", etc);
	AUTO(fd) int dir = open(etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir < 0 ? err_set(err, ERR_INFRA, errno, "open %s", etc) : etc_write(dir, home, err);
}

/* And no link to one. */
static bool is_folder(int dir_fd, const char *path)
{
	struct stat st;

	return !fstatat(dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

/* A name that the folder does not have, for something else to be shown there. */
static bool is_missing(int root, const char *made, const char *name)
{
	AUTO(free) char *path = path_join(made, name);

	return !path_exists(root, path);
}

static bool has_all_names(const struct sandbox_spec *spec, int root, const char *made)
{
	for (size_t i = 0; i < spec->mounts_n; i++) {
		const char *name = rootfs_name_in_etc(spec->mounts[i].box);
		if (name && is_missing(root, made, name))
			return false;
	}
	return true;
}

/* Each of MADE's entries in a folder to which more can be added. */
static int show_entries(const struct rootfs *st, int root, const char *made, struct err *err)
{
	AUTO(free) char *etc = rootfs_at(st, "etc");
	int fd = openat(root, made, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d || mkdir(etc, 0755))
		return err_set(err, ERR_INFRA, errno, "make %s", etc);
	for (struct dirent *e; (e = readdir(d));) {
		AUTO(free) char *name = path_join("etc", e->d_name);
		AUTO(free) char *box = rootfs_at(st, name);
		if (dir_is_dots(e->d_name))
			continue;
		if (is_folder(fd, e->d_name) ? rootfs_bind(st, name, fd, e->d_name, err)
					     : path_copy_tree(fd, e->d_name, AT_FDCWD, box, err))
			return -1;
	}
	return 0;
}

int rootfs_etc(const struct rootfs *st, const struct sandbox_spec *spec, int root, const char *made,
	       struct err *err)
{
	if (!made			      ? write_least(st, spec->layout->home, err)
	    : has_all_names(spec, root, made) ? rootfs_bind(st, "etc", root, made, err)
					      : show_entries(st, root, made, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(etc_shown); i++) {
		AUTO(free) char *host = path_join("/etc", etc_shown[i]);
		AUTO(free) char *name = path_join("etc", etc_shown[i]);
		AUTO(free) char *box = rootfs_at(st, name);
		if (is_folder(AT_FDCWD, box) && rootfs_bind(st, name, AT_FDCWD, host, err))
			return -1;
	}
	return show_names(st, err);
}

const char *rootfs_name_in_etc(const char *box)
{
	return !strncmp(box, "/etc/", 5) && box[5] && !strchr(box + 5, '/') ? box + 5 : NULL;
}
