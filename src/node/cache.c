/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/cache.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "node/parcel.h"
#include "os/dir.h"

#define INPUTS ".inputs"
enum { RECORD_MAX = 1 << 16 };

int cache_open(struct cache *c, const char *path, int64_t limit_bytes, struct err *err)
{
	struct stat st;

	c->limit_bytes = limit_bytes;
	if (mkdir(path, 0711) && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	c->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (c->root_fd < 0 || fstat(c->root_fd, &st))
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return err_set(
			err, ERR_USAGE, 0,
			"the cache %s belongs to another user, or others may write to it: name "
			"another folder",
			path);
	return path_make_dirs(c->root_fd, INPUTS, 0700, err) ||
			       path_make_dirs(c->root_fd, DATA_CACHE, 0711, err) ||
			       path_make_dirs(c->root_fd, DATA_RUNS, 0711, err)
		       ? -1
		       : 0;
}

void cache_close(struct cache *c)
{
	auto_fd(&c->root_fd);
	c->root_fd = -1;
}

/* The name of an input in .inputs: its path, which is short, on one level. */
static char *name_of(const char *path)
{
	char *name = xstrdup(path);

	for (char *c = name; *c; c++)
		if (*c == '/')
			*c = ',';
	return name;
}

static int lock(const struct cache *c, const char *name, int how)
{
	AUTO(free) char *path = xasprintf(INPUTS "/%s.lock", name);
	int fd = openat(c->root_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	while (fd >= 0 && flock(fd, how)) {
		if (errno == EINTR)
			continue;
		close(fd);
		return -1;
	}
	return fd;
}

/* It is there. What has its place by its content is the same whoever packed it; an attempt may not be. */
static bool is_there(const struct cache *c, const char *name, const char *path, const char *sha256)
{
	AUTO(free) char *record = xasprintf(INPUTS "/%s.json", name);
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (json_read(&j, c->root_fd, record, RECORD_MAX, &ignored) ||
	    !path_exists(c->root_fd, path))
		return false;
	if (strncmp(path, DATA_CACHE "/", strlen(DATA_CACHE "/")) != 0 &&
	    strcmp(json_get_str(j, "sha256", ""), sha256) != 0)
		return false;
	utimensat(c->root_fd, record, NULL, AT_SYMLINK_NOFOLLOW);
	return true;
}

static int make_parent(const struct cache *c, const char *path, struct err *err)
{
	AUTO(free) char *parent = path_folder(path);

	return path_make_dirs(c->root_fd, parent, 0711, err);
}

static int unpack(const struct cache *c, int data_fd, const char *name, const json_t *input,
		  struct err *err)
{
	const char *path = json_get_str(input, "path", "");
	const struct parcel expected = {.bytes = json_get_int(input, "bytes", -1)};
	AUTO(free) char *archive =
		xasprintf(DATA_PARCELS "/%s.tar", json_get_str(input, "sha256", ""));
	AUTO(free) char *temporary = xasprintf(INPUTS "/%s.new", name);
	AUTO(free) char *record = xasprintf(INPUTS "/%s.json", name);
	struct parcel wanted = expected;
	int got = source_get(c->source, data_fd, archive, err);
	AUTO(fd) int in = got ? -1 : openat(data_fd, archive, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (got)
		return -1;
	if (in < 0)
		return err_retry(err, errno, "the input %s of this trial", archive);
	snprintf(wanted.sha256, sizeof wanted.sha256, "%s", json_get_str(input, "sha256", ""));
	unlinkat(c->root_fd, record, 0);
	if (path_remove_tree(c->root_fd, temporary, err) ||
	    path_remove_tree(c->root_fd, path, err) || make_parent(c, path, err) ||
	    parcel_read(in, &wanted, c->root_fd, temporary, err))
		return err_wrap(err, "%s", path);
	if (renameat(c->root_fd, temporary, c->root_fd, path))
		return err_set(err, ERR_INFRA, errno, "rename to %s", path);
	/* What came for us alone has done its duty. */
	if (c->source->ask || c->source->store)
		unlinkat(data_fd, archive, 0);
	return json_write(c->root_fd, record, input, false, err);
}

static int have_one(struct cache_hold *out, const struct cache *c, int data_fd, const json_t *input,
		    struct err *err)
{
	const char *path = json_get_str(input, "path", "");
	const char *sha256 = json_get_str(input, "sha256", "");
	AUTO(free) char *name = name_of(path);

	if (!path_is_inside(path) || *path == '.' || strlen(sha256) != HASH_HEX - 1 ||
	    strspn(sha256, "0123456789abcdef") != HASH_HEX - 1)
		return err_set(err, ERR_USAGE, 0, ATTEMPT_TRAVEL " names no input: %.100s", path);
	for (;;) {
		int fd = lock(c, name, LOCK_SH);
		if (fd < 0)
			return err_set(err, ERR_INFRA, errno, "lock %s", name);
		if (is_there(c, name, path, sha256)) {
			out->fds[out->n++] = fd;
			return 0;
		}
		close(fd);
		fd = lock(c, name, LOCK_EX);
		if (fd < 0)
			return err_set(err, ERR_INFRA, errno, "lock %s", name);
		int rc = is_there(c, name, path, sha256) ? 0 : unpack(c, data_fd, name, input, err);
		close(fd);
		if (rc)
			return -1;
	}
}

int cache_have(struct cache_hold *out, struct cache *c, int data_fd, const json_t *inputs,
	       struct err *err)
{
	size_t i;
	json_t *input;

	*out = (struct cache_hold){xcalloc(json_array_size(inputs) + 1, sizeof *out->fds), 0};
	json_array_foreach (inputs, i, input)
		if (have_one(out, c, data_fd, input, err))
			return -1;
	return 0;
}

void cache_release(struct cache_hold *h)
{
	for (size_t i = 0; i < h->n; i++)
		close(h->fds[i]);
	free(h->fds);
	*h = (struct cache_hold){0};
}

struct kept {
	char *name, *path;
	int64_t bytes, used_s;
};

static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->used_s < y->used_s ? -1 : x->used_s > y->used_s;
}

static size_t list(const struct cache *c, struct kept **out, int64_t *total)
{
	int fd = openat(c->root_fd, INPUTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0, cap = 0;

	*total = 0;
	for (struct dirent *e; d && (e = readdir(d));) {
		size_t len = strlen(e->d_name);
		AUTO(json) json_t *j = NULL;
		struct err ignored;
		struct stat st;
		if (len < 5 || strcmp(e->d_name + len - 5, ".json") != 0 ||
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    json_read(&j, fd, e->d_name, RECORD_MAX, &ignored))
			continue;
		GROW(*out, n, cap);
		(*out)[n] = (struct kept){xstrndup(e->d_name, len - 5),
					  xstrdup(json_get_str(j, "path", "")),
					  json_get_int(j, "bytes", 0), st.st_mtime};
		*total += (*out)[n++].bytes;
	}
	return n;
}

static bool drop(const struct cache *c, const struct kept *k)
{
	AUTO(fd) int fd = lock(c, k->name, LOCK_EX | LOCK_NB);
	AUTO(free) char *record = xasprintf(INPUTS "/%s.json", k->name);
	struct err err;

	if (fd < 0 || !path_is_inside(k->path))
		return false;
	unlinkat(c->root_fd, record, 0);
	if (path_remove_tree(c->root_fd, k->path, &err)) {
		log_warn("%s", err.msg);
		return false;
	}
	return true;
}

void cache_trim(struct cache *c)
{
	struct kept *kept = NULL;
	int64_t total;
	size_t n = c->limit_bytes ? list(c, &kept, &total) : 0;

	if (n)
		qsort(kept, n, sizeof *kept, by_use);
	for (size_t i = 0; i < n; i++) {
		if (total > c->limit_bytes && drop(c, &kept[i]))
			total -= kept[i].bytes;
		free(kept[i].name);
		free(kept[i].path);
	}
	free(kept);
}
