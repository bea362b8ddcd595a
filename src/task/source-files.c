/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/source-files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

enum { DEPTH_MAX = 24, POINTER_MAX = 64 << 10 };

/* WHAT, by which git gets from PATH to TO, which is relative to it. FOLDER NULL: anywhere. */
static int check_target(const char *path, const char *to, const char *what, const char *folder,
			struct err *err)
{
	AUTO(free) char *target = *to == '/' ? xstrdup(to) : path_join(path, to);
	AUTO(free) char *real = realpath(target, NULL);

	if (folder && real && !path_is_within(real, folder))
		return err_set(err, ERR_USAGE, 0, "%s/%s leads to %s, outside of the task's folder",
			       path, what, real);
	return 0;
}

static int check_kind(mode_t mode, const char *path, const char *name, struct err *err)
{
	if (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode))
		return 0;
	return err_set(err, ERR_USAGE, 0, "%s/%s is a %s, which no file of a repository is", path,
		       name,
		       S_ISFIFO(mode)	? "FIFO"
		       : S_ISSOCK(mode) ? "socket"
					: "device");
}

static int check_link(int dir, const char *path, const char *name, const char *folder,
		      struct err *err)
{
	AUTO(free) char *own = path_join(path, name);
	AUTO(free) char *real = realpath(own, NULL);
	struct stat st;

	if (!real)
		return 0;
	if (!fstatat(dir, name, &st, 0) && check_kind(st.st_mode, path, name, err))
		return -1;
	return check_target(path, real, name, folder, err);
}

static int check_folder(int fd_take, const char *path, const char *folder, int depth,
			struct err *err)
{
	DIR *d = fdopendir(fd_take);
	struct dirent *e;
	int rc = 0;

	if (!d) {
		close(fd_take);
		return 0;
	}
	while (!rc && (e = readdir(d))) {
		struct stat st = {.st_mode = DTTOIF(e->d_type)};
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    (e->d_type == DT_UNKNOWN &&
		     fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW)))
			continue;
		rc = check_kind(st.st_mode, path, e->d_name, err);
		if (!rc && S_ISLNK(st.st_mode))
			rc = check_link(dirfd(d), path, e->d_name, folder, err);
		if (rc || !S_ISDIR(st.st_mode) || depth == DEPTH_MAX)
			continue;
		AUTO(free) char *below = path_join(path, e->d_name);
		const int fd = openat(dirfd(d), e->d_name,
				      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = fd < 0 ? 0 : check_folder(fd, below, folder, depth + 1, err);
	}
	closedir(d);
	return rc;
}

/* The lines of a file that says where something else of the repository is; NULL: there is none. */
static char *pointer(const char *path, const char *name)
{
	AUTO(free) char *file = path_join(path, name);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored = {0};

	return path_read(AT_FDCWD, file, POINTER_MAX, &text, &ignored) ? NULL : buf_detach(&text);
}

static int check_pointers(const char *git, const char *folder, struct err *err)
{
	AUTO(free) char *common = pointer(git, "commondir");
	AUTO(free) char *objects = path_join(git, "objects");
	AUTO(free) char *lines = pointer(objects, "info/alternates");
	char *rest = lines;

	if (common) {
		common[strcspn(common, "\n")] = '\0';
		if (check_target(git, common, "commondir", folder, err))
			return -1;
	}
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line && *line != '#' &&
		    check_target(objects, line, "info/alternates", folder, err))
			return -1;
	return 0;
}

int source_files_check(const char *path, const char *task_dir, struct err *err)
{
	AUTO(free) char *real_dir = realpath(task_dir, NULL);
	const char *folder = real_dir && path_is_within(path, real_dir) ? real_dir : NULL;
	AUTO(free) char *git = path_join(path, ".git");
	struct stat st;

	if (lstat(git, &st)) {
		free(git);
		git = xstrdup(path);
	} else if (check_kind(st.st_mode, path, ".git", err)) {
		return -1;
	} else if (S_ISREG(st.st_mode)) {
		AUTO(free) char *text = pointer(path, ".git");
		if (!text || strncmp(text, "gitdir:", 7) != 0)
			return 0; /* git says so */
		text[strcspn(text, "\n")] = '\0';
		const char *to = text + 7 + strspn(text + 7, " \t");
		if (check_target(path, to, ".git", folder, err))
			return -1;
		free(git);
		git = *to == '/' ? xstrdup(to) : path_join(path, to);
	} else if (check_target(path, ".git", ".git", folder, err)) {
		return -1;
	}
	const int fd = open(git, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && check_folder(fd, git, folder, 0, err))
		return -1;
	return check_pointers(git, folder, err);
}
