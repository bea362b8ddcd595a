/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/overlay.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/dir.h"

static int list_dir(struct overlay *o, int dir_fd, const char *name, const char *prefix, int depth,
		    struct err *err);

static int list_entry(struct overlay *o, int dir_fd, const char *name, const char *prefix,
		      int depth, struct err *err)
{
	struct stat st;
	AUTO(free) char *path = *prefix ? path_join(prefix, name) : xstrdup(name);
	if (strcasecmp(name, ".git") == 0)
		return err_set(err, ERR_USAGE, 0,
			       "overlay file %s: git's own directory cannot be laid over", path);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_set(err, ERR_INFRA, errno, "overlay file %s", path);
	if (S_ISDIR(st.st_mode))
		return list_dir(o, dir_fd, name, path, depth + 1, err);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return err_set(err, ERR_USAGE, 0, "overlay file %s: neither a file nor a link",
			       path);
	GROW(o->files, o->n, o->cap);
	o->files[o->n++] = (struct overlay_file){.path = STEAL(&path),
						 .is_link = S_ISLNK(st.st_mode),
						 .executable = st.st_mode & S_IXUSR,
						 .size = st.st_size};
	return 0;
}

static int list_dir(struct overlay *o, int dir_fd, const char *name, const char *prefix, int depth,
		    struct err *err)
{
	if (depth > 100)
		return err_set(err, ERR_USAGE, 0, "overlay folder %s: too deep", prefix);
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "overlay folder %s", prefix);
	for (struct dirent *e; (e = readdir(d));) {
		if (dir_is_dots(e->d_name))
			continue;
		if (list_entry(o, fd, e->d_name, prefix, depth, err) < 0)
			return -1;
	}
	return 0;
}

static int by_path(const void *a, const void *b)
{
	const struct overlay_file *x = a, *y = b;
	return strcmp(x->path, y->path);
}

int overlay_open(struct overlay *o, int root_fd, const char *snapshot, struct err *err)
{
	*o = (struct overlay){.fd = -1};
	AUTO(free) char *path = path_join(snapshot, SNAPSHOT_REPO);
	AUTO(fd) int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (list_dir(o, fd, ".", "", 0, err) < 0) {
		overlay_close(o);
		return -1;
	}
	if (o->n)
		qsort(o->files, o->n, sizeof *o->files, by_path);
	o->fd = fd_steal(&fd);
	return 0;
}

void overlay_close(struct overlay *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->files[i].path);
	free(o->files);
	auto_fd(&o->fd);
	*o = (struct overlay){.fd = -1};
}

static int hash_file(const struct overlay *o, const struct overlay_file *f, struct hash *h,
		     struct err *err)
{
	AUTO(buf) struct buf content = BUF_INIT;
	char target[PATH_MAX];
	char hex[HASH_HEX];
	hash_str(h, f->path);
	if (f->is_link) {
		ssize_t n = readlinkat(o->fd, f->path, target, sizeof target);
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "overlay link %s", f->path);
		hash_once(target, (size_t)n, hex);
	} else {
		if (path_read_beneath(o->fd, f->path, SIZE_MAX / 2, &content, err) < 0)
			return -1;
		hash_once(content.data, content.len, hex);
	}
	hash_str(h, f->is_link ? "link" : f->executable ? "program" : "file");
	hash_str(h, hex);
	return 0;
}

int overlay_hash_files(const struct overlay *o, struct hash *h, struct err *err)
{
	for (size_t i = 0; i < o->n; i++)
		if (hash_file(o, &o->files[i], h, err) < 0)
			return -1;
	return 0;
}
