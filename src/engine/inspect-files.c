/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/inspect-files.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "base/untar.h"

#define TEXT_MAX (256 << 10)
#define COPY_MS (20 * 60 * 1000)
#define COPY_BYTES_MAX (32LL << 30)
#define GO_DIR (1U << 31) /* the kinds in a Go FileMode */
#define GO_LINK (1U << 27)

static char *url_of(const struct engine *e, const char *id, const char *path)
{
	AUTO(free) char *escaped = engine_escape(e, path);

	return xasprintf("/containers/%s/archive?path=%s", id, escaped);
}

int files_look(struct engine *e, const char *id, const char *path, struct file_facts *out,
	       struct err *err)
{
	AUTO(free) char *url = url_of(e, id, path);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	long status = 0;

	*out = (struct file_facts){0};
	if (engine_call(e, "HEAD", url, NULL, ENGINE_CALL_MS, &status, NULL, err))
		return -1;
	if (status != 200)
		return 0;
	if (!base64_decode(&text, engine_header(e, "X-Docker-Container-Path-Stat")))
		return err_set(err, ERR_INFRA, 0, "the engine says nothing readable of %s", path);
	if (json_parse(&j, text.data, text.len, "the engine's answer", err))
		return -1;
	const unsigned mode = (unsigned)json_get_int(j, "mode", 0);
	out->there = true;
	out->is_dir = mode & GO_DIR;
	out->is_link = mode & GO_LINK;
	out->mode = mode & 0777;
	snprintf(out->target, sizeof out->target, "%s", json_get_str(j, "linkTarget", ""));
	return 0;
}

struct reading {
	struct buf text;
	bool wanted, done;
};

static int read_entry(void *arg, const struct tar_entry *e, struct err *err)
{
	struct reading *r = arg;

	r->wanted = !r->done && e->kind == TAR_FILE;
	return 0;
}

static int read_content(void *arg, const char *data, size_t n, struct err *err)
{
	struct reading *r = arg;

	if (r->wanted && r->text.len + n <= TEXT_MAX)
		buf_add(&r->text, data, n);
	r->done |= r->wanted && !n;
	return 0;
}

static int feed(void *arg, const char *data, size_t n, struct err *err)
{
	return tar_feed(arg, data, n, err);
}

char *files_read(struct engine *e, const char *id, const char *path)
{
	AUTO(free) char *url = url_of(e, id, path);
	struct reading r = {.text = BUF_INIT};
	const struct tar_sink sink = {.entry = read_entry, .content = read_content, .arg = &r};
	struct tar tar = TAR_INIT(&sink);
	struct err ignored = {0};
	long status = 0;

	if (engine_stream(e, url, ENGINE_CALL_MS, &status, feed, &tar, &ignored))
		buf_reset(&r.text);
	tar_release(&tar);
	return buf_detach(&r.text);
}

struct copying {
	int files_fd, git_fd;
	int fd; /* of the file that is being written; -1: its content is dropped */
	mode_t mode;
	int64_t mtime, bytes;
	struct buf loose;
	bool git; /* a .git folder was there */
};

/* PATH without its first name, which is that of the folder itself; NULL: it is that folder. */
static const char *below_top(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash ? slash + 1 : NULL;
}

static int create(struct copying *c, int dir_fd, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	AUTO(free) char *parent = slash ? xstrndup(path, (size_t)(slash - path)) : NULL;

	if (parent && path_make_dirs(dir_fd, parent, 0755, err))
		return -1;
	c->fd = path_open_beneath(dir_fd, path, O_WRONLY | O_CREAT | O_EXCL, 0644, err);
	return c->fd < 0 ? -1 : 0;
}

/* PATH is below .git. What it contains is read as data, and no more of it kept than that takes. */
static int take_git(struct copying *c, const struct tar_entry *e, const char *path, struct err *err)
{
	const char *object = !strncmp(path, "objects/", 8) ? path + 8 : "";

	c->git = true;
	if (e->kind != TAR_FILE)
		return 0;
	if (!strcmp(path, "index") || !strncmp(path, "sharedindex.", 12))
		return strchr(path, '/') ? 0 : create(c, c->git_fd, path, err);
	if (!strncmp(object, "pack/", 5) && !strchr(object + 5, '/') &&
	    text_ends_with(object, ".idx"))
		return create(c, c->git_fd, object, err);
	if (strlen(object) >= 41 && object[2] == '/' &&
	    strspn(object, "0123456789abcdef/") == strlen(object))
		buf_addf(&c->loose, "%.2s%s\n", object, object + 3);
	return 0;
}

static int take_link(struct copying *c, const struct tar_entry *e, const char *path,
		     struct err *err)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	AUTO(free) char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	const char *target = e->kind == TAR_LINK ? e->target : below_top(e->target);

	if (*parent && path_make_dirs(c->files_fd, parent, 0755, err))
		return -1;
	AUTO(fd)
	int dir = path_open_beneath(c->files_fd, *parent ? parent : ".", O_RDONLY | O_DIRECTORY, 0,
				    err);
	if (dir < 0)
		return -1;
	if (e->kind == TAR_LINK)
		return symlinkat(target, dir, name)
			       ? err_set(err, ERR_INFRA, errno, "link %s", path)
			       : 0;
	/* Of the same archive, and written already. */
	if (!target || !path_is_inside(target))
		return 0;
	AUTO(fd) int from = path_open_beneath(c->files_fd, target, O_PATH, 0, err);
	if (from < 0)
		return -1;
	return linkat(from, "", dir, name, AT_EMPTY_PATH) &&
			       linkat(c->files_fd, target, dir, name, 0)
		       ? err_set(err, ERR_INFRA, errno, "link %s", path)
		       : 0;
}

static int copy_entry(void *arg, const struct tar_entry *e, struct err *err)
{
	struct copying *c = arg;
	const char *path = below_top(e->path);
	const char *git = path ? strstr(path, ".git") : NULL;

	c->fd = -1;
	c->mode = (e->mode & 0777) | 0600;
	c->mtime = e->mtime;
	c->bytes += e->size;
	if (c->bytes > COPY_BYTES_MAX)
		return err_set(err, ERR_INFRA, 0, "it is larger than 32 GB");
	if (!path)
		return 0;
	if (!strncmp(path, ".git/", 5))
		return take_git(c, e, path + 5, err);
	/* Repositories within are no part of this one. */
	for (; git; git = strstr(git + 1, ".git"))
		if ((git == path || git[-1] == '/') && (!git[4] || git[4] == '/'))
			return 0;
	if (e->kind == TAR_FOLDER)
		return path_make_dirs(c->files_fd, path, 0755, err);
	if (e->kind != TAR_FILE)
		return take_link(c, e, path, err);
	return create(c, c->files_fd, path, err);
}

static int copy_content(void *arg, const char *data, size_t n, struct err *err)
{
	struct copying *c = arg;

	if (c->fd < 0)
		return 0;
	if (n)
		return path_write_all(c->fd, data, n, err);
	const struct timespec times[2] = {{.tv_sec = c->mtime}, {.tv_sec = c->mtime}};
	bool failed = fchmod(c->fd, c->mode) || futimens(c->fd, times);
	close(c->fd);
	c->fd = -1;
	return failed ? err_set(err, ERR_INFRA, errno, "write a file") : 0;
}

static int open_new(int dir_fd, const char *name, struct err *err)
{
	if (mkdirat(dir_fd, name, 0755))
		return err_set(err, ERR_INFRA, errno, "make directory %s", name);
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_set(err, ERR_INFRA, errno, "open %s", name) : fd;
}

static int write_meta(const struct copying *c, int fd, const char *path, struct err *err)
{
	AUTO(json) json_t *j = json_object();

	json_put_str(j, "path", path);
	json_put_bool(j, "git", c->git);
	return path_write(c->git_fd, "loose", c->loose.data, c->loose.len, 0644, false, err) ||
			       json_write(fd, "meta.json", j, false, err)
		       ? -1
		       : 0;
}

static int copy_to(struct engine *e, const char *id, const char *path, int fd, struct err *err)
{
	AUTO(free) char *url = url_of(e, id, path);
	AUTO(fd) int files = open_new(fd, "files", err);
	AUTO(fd) int git = files < 0 ? -1 : open_new(fd, "git", err);
	struct copying c = {.files_fd = files, .git_fd = git, .fd = -1, .loose = BUF_INIT};
	const struct tar_sink sink = {.entry = copy_entry, .content = copy_content, .arg = &c};
	struct tar tar = TAR_INIT(&sink);
	long status = 0;

	if (git < 0)
		return -1;
	int rc = engine_stream(e, url, COPY_MS, &status, feed, &tar, err);
	if (!rc && status != 200)
		rc = err_retry(err, 0, "the engine does not send it (%ld)", status);
	if (!rc)
		rc = write_meta(&c, fd, path, err);
	if (c.fd >= 0)
		close(c.fd);
	buf_release(&c.loose);
	tar_release(&tar);
	return rc;
}

static int make_copy(struct engine *e, const char *id, const char *path, const char *to,
		     struct err *err)
{
	AUTO(free) char *tmp =
		xasprintf("%s.tmp.%d.%lld", to, (int)getpid(), (long long)clock_mono_ns());
	struct err ignored = {0};

	if (path_make_dirs(AT_FDCWD, tmp, 0755, err))
		return -1;
	AUTO(fd) int fd = open(tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", tmp);
	int rc = copy_to(e, id, path, fd, err);
	/* Another image's maker may have been as quick. */
	if (!rc && rename(tmp, to) && errno != EEXIST && errno != ENOTEMPTY)
		rc = err_set(err, ERR_INFRA, errno, "rename to %s", to);
	if (path_remove_tree(AT_FDCWD, tmp, &ignored) && !rc)
		*err = ignored;
	return rc;
}

int files_take_copy(struct engine *e, const char *id, const char *image_id, const char *path,
		    char **key, struct err *err)
{
	AUTO(free) char *text = xasprintf("own copy 1\n%s\n%s", image_id, path);
	char hex[HASH_HEX];
	struct file_facts facts;

	*key = NULL;
	hash_once(text, strlen(text), hex);
	AUTO(free) char *to = xasprintf(DATA_COPIES "/%s", hex);
	if (!path_exists(AT_FDCWD, to)) {
		if (files_look(e, id, path, &facts, err))
			return -1;
		if (!facts.is_dir)
			return 0;
		if (make_copy(e, id, path, to, err))
			return err_wrap(err, "copy %s out of the image", path);
	}
	*key = xstrdup(hex);
	return 0;
}
