/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/dir.h"
#include "git/git.h"

static void format_config(struct buf *out, const struct gitdir *spec)
{
	buf_addf(out, "[core]\n\trepositoryformatversion = %d\n\tfilemode = true\n\tbare = %s\n",
		 spec->sha256 ? 1 : 0, spec->bare ? "true" : "false");
	if (spec->config)
		buf_adds(out, spec->config);
	if (spec->sha256)
		buf_adds(out, "[extensions]\n\tobjectformat = sha256\n");
}

static int put(int fd, const char *name, const char *format, const char *value, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	if (!value)
		return 0;
	buf_adds(&text, format);
	buf_adds(&text, value);
	if (value[0] && value[strlen(value) - 1] != '\n')
		buf_addc(&text, '\n');
	AUTO(fd) int file = openat(fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (file < 0)
		return err_set(err, ERR_INFRA, errno, "create %s", name);
	return path_write_all(file, text.data, text.len, err);
}

int gitdir_make(int dir_fd, const char *path, const struct gitdir *spec, struct err *err)
{
	static const char *const dirs[] = {
		".", "info", "objects", "objects/info", "objects/pack", "refs", "refs/heads"};
	if (mkdirat(dir_fd, path, 0755) < 0)
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	AUTO(fd) int fd = openat(dir_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	for (size_t i = 1; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(fd, dirs[i], 0755) < 0)
			return err_set(err, ERR_INFRA, errno, "make directory %s/%s", path,
				       dirs[i]);
	AUTO(buf) struct buf config = BUF_INIT;
	format_config(&config, spec);
	if (put(fd, "HEAD", "ref: ", spec->head, err) < 0 ||
	    put(fd, "config", "", config.data, err) < 0 ||
	    put(fd, "objects/info/alternates", "", spec->alternates, err) < 0 ||
	    put(fd, "info/attributes", "", spec->attributes, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}

static bool is_leftover(const char *name)
{
	size_t n = strlen(name);
	return strncmp(name, "tmp_", 4) == 0 || (n > 5 && strcmp(name + n - 5, ".lock") == 0);
}

// Recursion is bounded: the depth is that of ref names, in a directory only we write to.
static int sweep(int dir_fd, const char *path, bool deep, struct err *err)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	for (struct dirent *e; (e = readdir(d));) {
		if (is_leftover(e->d_name)) {
			if (path_remove_tree(dirfd(d), e->d_name, err) < 0)
				return -1;
		} else if (deep && e->d_type == DT_DIR && e->d_name[0] != '.') {
			if (sweep(dirfd(d), e->d_name, true, err) < 0)
				return -1;
		}
	}
	return 0;
}

int gitdir_sweep(int dir_fd, const char *path, struct err *err)
{
	AUTO(fd) int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (sweep(fd, ".", false, err) < 0 || sweep(fd, "objects/pack", false, err) < 0 ||
	    sweep(fd, "refs", true, err) < 0)
		return err_wrap(err, "%s", path);
	return 0;
}
