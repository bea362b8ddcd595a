/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/harbor-files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/untar.h"

enum {
	HELPER_MS = 5 * 60 * 1000,
	FILE_MAX = 256 << 20,
	DEPTH_MAX = 64,
	LIST_MAX = 1 << 20,
};
#define TAKEN_MAX "1073741824" /* bytes of one folder */

int harbor_helper(struct sandbox *box, const char **argv, int out_fd, int *status, struct err *err)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
	AUTO(fd) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[] = {null, out_fd >= 0 ? out_fd : null, null};
	struct sandbox_exit end = {0};

	argv[0] = SANDBOX_KEEP_ALIVE;
	const struct sandbox_exec x = {.argv = argv,
				       .env = env,
				       .cwd = "/",
				       .user = "0",
				       .descriptors = fds,
				       .deadline_ms = clock_mono_ms() + HELPER_MS,
				       .at_end = SANDBOX_LEAVE};
	if (null < 0)
		return err_set(err, ERR_INFRA, errno, "open /dev/null");
	if (sandbox_exec(box, &x, &end, err))
		return -1;
	if (end.end != SANDBOX_EXITED || !WIFEXITED(end.status)) {
		err_set(err, ERR_INFRA, 0, "%s in the container did not end well: %s", argv[1],
			*end.text ? end.text : "it was killed or took too long");
		return err_from_box(err);
	}
	*status = WEXITSTATUS(end.status);
	return 0;
}

int harbor_folders(struct sandbox *box, bool fresh, const char *mode, const char *const *paths,
		   struct err *err)
{
	const char *argv[16] = {NULL, fresh ? "fresh" : "folder", mode};
	int status = 0;

	for (size_t i = 0; paths[i] && i + 4 < ARRAY_SIZE(argv); i++)
		argv[3 + i] = paths[i];
	if (harbor_helper(box, argv, -1, &status, err))
		return -1;
	if (!status)
		return 0;
	err_set(err, ERR_INFRA, 0, "the folder %s cannot be made in the container", paths[0]);
	return err_from_box(err);
}

static int put_link(struct sandbox *box, const char *target, const char *to, struct err *err)
{
	const char *const argv[] = {"ln", "-sfn", "--", target, to, NULL};
	AUTO(strv) struct strv env = STRV_INIT;
	struct sandbox_exit end = {0};

	sandbox_env(box, &env);
	const struct sandbox_exec x = {.argv = argv,
				       .env = strv_items(&env),
				       .cwd = "/",
				       .user = "0",
				       .deadline_ms = clock_mono_ms() + HELPER_MS,
				       .at_end = SANDBOX_LEAVE};
	if (sandbox_exec(box, &x, &end, err))
		return -1;
	return end.end == SANDBOX_EXITED && !end.status
		       ? 0
		       : err_set(err, ERR_INFRA, 0, "cannot make the link %s in the container", to);
}

static int put_file(struct sandbox *box, int dir, const char *name, const char *to, mode_t mode,
		    struct err *err)
{
	AUTO(buf) struct buf data = BUF_INIT;

	return path_read_beneath(dir, name, FILE_MAX, &data, err) ||
			       sandbox_put(box, to, data.data, data.len, mode, err)
		       ? -1
		       : 0;
}

struct putting {
	struct sandbox *box;
	const char *executable; /* only at the top */
};

static int put_folder(const struct putting *p, int fd_take, const char *to, int depth,
		      struct err *err);

static int put_entry(const struct putting *p, int dir, const char *name, const char *to, int depth,
		     struct err *err)
{
	AUTO(free) char *at = path_join(to, name);
	struct stat st;
	char target[4096];

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, errno, "%s", name);
	if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
		int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		return fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", name)
			      : put_folder(p, fd, at, depth + 1, err);
	}
	if (S_ISREG(st.st_mode)) {
		const bool run = p->executable && !depth && !strcmp(name, p->executable);
		return put_file(p->box, dir, name, at, (st.st_mode & 0777) | (run ? 0111 : 0), err);
	}
	const ssize_t n =
		S_ISLNK(st.st_mode) ? readlinkat(dir, name, target, sizeof target - 1) : -1;
	if (n < 0)
		return 0;
	target[n] = '\0';
	return put_link(p->box, target, at, err);
}

static int put_folder(const struct putting *p, int fd_take, const char *to, int depth,
		      struct err *err)
{
	const char *const paths[] = {to, NULL};
	DIR *d = fdopendir(fd_take);
	struct dirent *e;
	size_t n = 0;
	int rc = 0;

	if (!d) {
		close(fd_take);
		return err_set(err, ERR_INFRA, errno, "read a folder of the task");
	}
	while (!rc && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n++;
		rc = put_entry(p, dirfd(d), e->d_name, to, depth, err);
	}
	closedir(d);
	/* A file makes the folders above it. */
	return rc || n ? rc : harbor_folders(p->box, false, "755", paths, err);
}

int harbor_put(struct sandbox *box, int dir_fd, const char *from, const char *to,
	       const char *executable, struct err *err)
{
	const struct putting p = {box, executable};

	if (!path_exists(dir_fd, from))
		return 0;
	int fd = path_open_beneath(dir_fd, from, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	return put_folder(&p, fd, strcmp(to, "/") ? to : "", 0, err) ? err_wrap(err, "put %s", to)
								     : 0;
}

int harbor_put_file(struct sandbox *box, int dir_fd, const char *from, const char *to,
		    struct err *err)
{
	struct stat st;

	AUTO(fd) int fd = path_open_beneath(dir_fd, from, O_RDONLY, 0, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st))
		return err_set(err, ERR_INFRA, errno, "stat %s", from);
	return put_file(box, dir_fd, from, to, st.st_mode & 0777, err);
}

/* Where an archive is unpacked to. */
struct unpacking {
	const struct work *w;
	const struct harbor_take *t;
	int fd; /* of the file under way; -1: it is left out */
};

static bool is_excluded(const json_t *patterns, const char *path)
{
	const json_t *item;
	size_t i;

	json_array_foreach ((json_t *)patterns, i, item) {
		const char *pattern = json_string_value(item);
		if (!pattern)
			continue;
		if (!strncmp(pattern, "./", 2))
			pattern += 2;
		if (!fnmatch(pattern, path, 0) || !fnmatch(pattern, path_base(path), 0))
			return true;
		/* What lies in a folder that is left out. */
		const size_t n = strlen(pattern);
		if (!strncmp(path, pattern, n) && path[n] == '/')
			return true;
	}
	return false;
}

static int on_entry(void *arg, const struct tar_entry *e, struct err *err)
{
	struct unpacking *u = arg;
	const char *below = strchr(e->path, '/');
	struct err ignored = {0};

	if (u->fd >= 0)
		close(fd_steal(&u->fd));
	if (!below && u->t->is_folder)
		*u->t->is_folder = e->kind == TAR_FOLDER;
	if (below && is_excluded(u->t->exclude, below + 1))
		return 0;
	AUTO(free) char *to = below ? path_join(u->t->to, below + 1) : xstrdup(u->t->to);
	if (e->kind == TAR_FOLDER)
		return path_make_dirs(u->w->run_fd, to, 0755, err);
	if (e->kind != TAR_FILE)
		return 0;
	AUTO(free) char *folder = path_folder(to);
	if (path_make_dirs(u->w->run_fd, folder, 0755, err))
		return -1;
	/* A name that this host cannot hold is left out. */
	u->fd = path_open_beneath(u->w->run_fd, to, O_WRONLY | O_CREAT | O_TRUNC,
				  (e->mode & 0111) | 0644, &ignored);
	return 0;
}

static int on_content(void *arg, const char *data, size_t n, struct err *err)
{
	struct unpacking *u = arg;

	if (u->fd < 0)
		return 0;
	if (n)
		return path_write_all(u->fd, data, n, err);
	close(fd_steal(&u->fd));
	return 0;
}

static int unpack(const struct work *w, const struct harbor_take *t, int archive, struct err *err)
{
	struct unpacking u = {w, t, -1};
	const struct tar_sink sink = {on_entry, on_content, &u};
	struct tar tar = TAR_INIT(&sink);
	char block[65536];
	ssize_t n;
	int rc = 0;

	while (!rc && (n = read(archive, block, sizeof block)) > 0)
		rc = tar_feed(&tar, block, (size_t)n, err);
	tar_release(&tar);
	if (u.fd >= 0)
		close(u.fd);
	return rc;
}

/* Without a name, on the disk where that can be had. */
static int temporary(const struct work *w)
{
	int fd = openat(w->run_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("taken.tar", MFD_CLOEXEC);
}

int harbor_take(struct work *w, struct sandbox *box, const struct harbor_take *t, struct err *err)
{
	const char *argv[] = {NULL, "pack", TAKEN_MAX, t->box_path, NULL};
	AUTO(fd) int fd = temporary(w);
	int status = 0;

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "a file for %s", t->box_path);
	if (harbor_helper(box, argv, fd, &status, err))
		return -1;
	if (status)
		return status == 2 ? HARBOR_MISSING : HARBOR_TOO_LARGE;
	if (lseek(fd, 0, SEEK_SET) || unpack(w, t, fd, err))
		return err->kind ? -1 : err_set(err, ERR_INFRA, errno, "read %s", t->box_path);
	return HARBOR_TAKEN;
}

int harbor_processes(struct sandbox *box, struct strv *out, struct err *err)
{
	const char *argv[] = {NULL, "ps", "-", NULL};
	AUTO(fd) int fd = memfd_create("processes", MFD_CLOEXEC);
	AUTO(buf) struct buf text = BUF_INIT;
	char *save = NULL;
	int status = 0;

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memory for a list of processes");
	if (harbor_helper(box, argv, fd, &status, err) || lseek(fd, 0, SEEK_SET) ||
	    path_read_fd(fd, LIST_MAX, &text, err))
		return err->kind ? -1 : err_set(err, ERR_INFRA, errno, "list processes");
	if (!text.len)
		return 0;
	for (char *line = strtok_r(text.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		strv_push(out, line);
	return 0;
}
