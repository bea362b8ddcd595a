/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/parcel.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/tar.h"
#include "os/dir.h"

#define TOP "t" /* what the members lie below */
#define MANIFEST "manifest.json"
enum { CHUNK = 1 << 18, MANIFEST_MAX = 1 << 29, LINK_MAX_BYTES = 4096 };

struct writing {
	int out;
	json_t *files; /* of the manifest */
	json_t *seen;  /* "device:inode" of files with several names -> path */
	bool (*leave_out)(const char *name);
};

static int hash_fd(int fd, struct parcel *out, struct err *err)
{
	AUTO(free) char *chunk = xmalloc(CHUNK);
	struct hash h;
	ssize_t n;

	hash_init(&h);
	out->bytes = 0;
	while ((n = pread(fd, chunk, CHUNK, out->bytes)) > 0) {
		hash_bytes(&h, chunk, (size_t)n);
		out->bytes += n;
	}
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read an archive");
	hash_hex(&h, out->sha256);
	return 0;
}

static json_t *list(struct writing *w, const char *path)
{
	json_t *entry = json_object();

	json_put_str(entry, "path", path);
	json_array_append_new(w->files, entry);
	return entry;
}

static int write_contents(struct writing *w, int fd, const char *path, int64_t size,
			  struct err *err)
{
	AUTO(free) char *chunk = xmalloc(CHUNK);
	char sha256[HASH_HEX];
	struct hash h;

	hash_init(&h);
	for (int64_t left = size; left > 0;) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		if (tar_read(fd, chunk, n, err))
			return err_wrap(err, "%s became shorter", path);
		if (path_write_all(w->out, chunk, n, err))
			return -1;
		hash_bytes(&h, chunk, n);
		left -= (int64_t)n;
	}
	hash_hex(&h, sha256);
	json_put_str(list(w, path), "sha256", sha256);
	return tar_write_pad(w->out, size, err);
}

/* True: it is another name of a file that was written before. */
static bool is_second_name(struct writing *w, const struct stat *st, const char *path)
{
	char id[48];

	if (st->st_nlink < 2)
		return false;
	snprintf(id, sizeof id, "%llx:%llx", (unsigned long long)st->st_dev,
		 (unsigned long long)st->st_ino);
	const char *first = json_get_str(w->seen, id, NULL);
	if (first)
		json_put_str(list(w, path), "same", first);
	else
		json_put_str(w->seen, id, path);
	return first;
}

/* That of the tree itself says when it was used last. */
static int64_t time_of(const struct stat *st, const char *path)
{
	return strcmp(path, TOP) ? st->st_mtime : 0;
}

static int write_file(struct writing *w, int dir_fd, const char *name, const char *path,
		      struct err *err)
{
	AUTO(fd) int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (!S_ISREG(st.st_mode) || is_second_name(w, &st, path))
		return 0;
	const struct tar_member m = {.path = (char *)path,
				     .mode = st.st_mode & 0777,
				     .size = st.st_size,
				     .mtime = time_of(&st, path)};
	return tar_write_head(w->out, &m, err) ? -1 : write_contents(w, fd, path, st.st_size, err);
}

static int write_link(struct writing *w, int dir_fd, const char *name, const char *path,
		      struct err *err)
{
	char target[LINK_MAX_BYTES + 1];
	ssize_t n = readlinkat(dir_fd, name, target, LINK_MAX_BYTES);

	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read link %s", path);
	target[n] = '\0';
	const struct tar_member m = {.path = (char *)path, .link = target, .mode = 0777};
	json_put_str(list(w, path), "link", target);
	return tar_write_head(w->out, &m, err);
}

static int write_tree(struct writing *w, int dir_fd, const char *name, const char *path,
		      struct err *err)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(err, ERR_INFRA, errno, "%s", path);
	if (S_ISLNK(st.st_mode))
		return write_link(w, dir_fd, name, path, err);
	if (!S_ISDIR(st.st_mode))
		return S_ISREG(st.st_mode) ? write_file(w, dir_fd, name, path, err) : 0;
	const struct tar_member m = {.path = (char *)path,
				     .is_dir = true,
				     .mode = st.st_mode & 0777,
				     .mtime = time_of(&st, path)};
	if (tar_write_head(w->out, &m, err))
		return -1;
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	for (struct dirent *e; (e = readdir(d));) {
		AUTO(free) char *below = path_join(path, e->d_name);
		bool stays = w->leave_out && !strcmp(path, TOP) && w->leave_out(e->d_name);
		if (!dir_is_dots(e->d_name) && !stays && write_tree(w, fd, e->d_name, below, err))
			return -1;
	}
	return 0;
}

static int write_manifest(struct writing *w, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = json_object();

	json_put_int(j, "v", 1);
	json_put(j, "files", json_incref(w->files));
	json_format(&text, j, false);
	const struct tar_member m = {
		.path = (char *)MANIFEST, .mode = 0644, .size = (int64_t)text.len};
	return tar_write_head(w->out, &m, err) ||
			       path_write_all(w->out, text.data, text.len, err) ||
			       tar_write_pad(w->out, m.size, err) || tar_write_end(w->out, err)
		       ? -1
		       : 0;
}

int parcel_write(struct parcel *out, int out_fd, int dir_fd, const char *path,
		 bool (*leave_out)(const char *name), struct err *err)
{
	struct writing w = {out_fd, json_array(), json_object(), leave_out};
	int rc = write_tree(&w, dir_fd, path, TOP, err) || write_manifest(&w, err) ||
				 hash_fd(out_fd, out, err)
			 ? -1
			 : 0;

	json_decref(w.files);
	json_decref(w.seen);
	return rc;
}

struct reading {
	int in, dir_fd;
	const char *to;
	json_t *made; /* path -> its SHA-256 */
	json_t *links; /* path -> where it leads: made last, so that nothing is written through one */
	json_t *modes; /* of folders, which are ours while they are filled */
};

static int damaged(const char *path, struct err *err)
{
	return err_set(err, ERR_USAGE, 0, "the archive is damaged at %.200s", path);
}

/* Where a member belongs; NULL: it is none of the tree's. */
static char *place_of(const struct reading *r, const char *path)
{
	size_t top = strlen(TOP);

	if (!path_is_inside(path) || strncmp(path, TOP, top) != 0)
		return NULL;
	return path[top] == '/' ? path_join(r->to, path + top + 1)
	       : path[top]	? NULL
				: xstrdup(r->to);
}

static int read_file(struct reading *r, const struct tar_member *m, const char *place,
		     struct err *err)
{
	char sha256[HASH_HEX];

	if (tar_read_file(r->in, m, r->dir_fd, place, sha256, err))
		return -1;
	json_put_str(r->made, m->path, sha256);
	return 0;
}

static int read_member(struct reading *r, const struct tar_member *m, struct err *err)
{
	size_t len = strlen(m->path);
	AUTO(free) char *path = xstrndup(m->path, len && m->path[len - 1] == '/' ? len - 1 : len);
	AUTO(free) char *place = place_of(r, path);

	if (!place)
		return damaged(m->path, err);
	if (m->link) {
		json_put_str(r->links, path, m->link);
		return 0;
	}
	if (!m->is_dir)
		return read_file(r, m, place, err);
	json_put_int(r->modes, path, m->mode & 0777);
	return path_make_dirs(r->dir_fd, place, 0700, err);
}

static int make_second_name(struct reading *r, const char *path, const char *first, struct err *err)
{
	AUTO(free) char *from = place_of(r, first);
	AUTO(free) char *to = place_of(r, path);
	AUTO(free) char *parent = to ? path_folder(to) : NULL;

	if (!from || !to || !json_object_get(r->made, first))
		return damaged(path, err);
	AUTO(fd) int fd = path_open_beneath(r->dir_fd, parent, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(fd) int file = fd < 0 ? -1 : path_open_beneath(r->dir_fd, from, O_PATH, 0, err);
	char self[32];
	if (file < 0)
		return -1;
	snprintf(self, sizeof self, "/proc/self/fd/%d", file);
	if (!linkat(AT_FDCWD, self, fd, path_base(to), AT_SYMLINK_FOLLOW))
		return 0;
	return errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK || errno == EXDEV
		       ? path_copy_tree(r->dir_fd, from, fd, path_base(to), err)
		       : err_set(err, ERR_INFRA, errno, "link %s", to);
}

static int make_link(struct reading *r, const char *path, const char *target, struct err *err)
{
	AUTO(free) char *to = place_of(r, path);
	AUTO(free) char *parent = path_folder(to);
	AUTO(fd) int fd = path_open_beneath(r->dir_fd, parent, O_RDONLY | O_DIRECTORY, 0, err);

	if (fd < 0)
		return -1;
	if (symlinkat(target, fd, path_base(to)))
		return err_set(err, ERR_INFRA, errno, "make link %s", to);
	return 0;
}

/* Each file that was made is listed with what it holds, and nothing else is listed. */
static int check(struct reading *r, const json_t *manifest, struct err *err)
{
	size_t i, listed = 0;
	json_t *entry;

	json_array_foreach (json_object_get(manifest, "files"), i, entry) {
		const char *path = json_get_str(entry, "path", "");
		const char *same = json_get_str(entry, "same", NULL);
		const char *link = json_get_str(entry, "link", NULL);
		const char *sha256 = json_get_str(r->made, path, NULL);
		if (same   ? make_second_name(r, path, same, err)
		    : link ? strcmp(json_get_str(r->links, path, ""), link) && damaged(path, err)
			   : (!sha256 || strcmp(sha256, json_get_str(entry, "sha256", "")) != 0) &&
				     damaged(path, err))
			return -1;
		listed += !same;
	}
	return listed == json_object_size(r->made) + json_object_size(r->links)
		       ? 0
		       : damaged(MANIFEST, err);
}

static int finish(struct reading *r, struct err *err)
{
	const char *path;
	json_t *value;

	json_object_foreach (r->links, path, value)
		if (make_link(r, path, json_string_value(value), err))
			return -1;
	json_object_foreach (r->modes, path, value) {
		AUTO(free) char *place = place_of(r, path);
		AUTO(fd)
		int fd = path_open_beneath(r->dir_fd, place, O_RDONLY | O_DIRECTORY, 0, err);
		/* Nobody shall have to ask whether we may remove it again. */
		if (fd < 0 || fchmod(fd, (mode_t)json_integer_value(value) | 0700))
			return fd < 0 ? -1 : err_set(err, ERR_INFRA, errno, "%s", place);
	}
	return 0;
}

static int read_all(struct reading *r, struct err *err)
{
	struct tar_member m;
	int more;

	while ((more = tar_read_head(r->in, &m, err)) > 0) {
		bool last = !strcmp(m.path, MANIFEST);
		int64_t size = m.size;
		int rc = last ? 0 : read_member(r, &m, err);
		tar_member_release(&m);
		if (rc)
			return -1;
		if (!last)
			continue;
		AUTO(buf) struct buf text = BUF_INIT;
		AUTO(json) json_t *manifest = NULL;
		if (size > MANIFEST_MAX)
			return damaged(MANIFEST, err);
		buf_grow(&text, (size_t)size);
		if (tar_read(r->in, text.data, (size_t)size, err) ||
		    json_parse(&manifest, text.data, (size_t)size, MANIFEST, err))
			return -1;
		return check(r, manifest, err) ? -1 : finish(r, err);
	}
	return more ? -1 : err_set(err, ERR_USAGE, 0, "the archive has no " MANIFEST);
}

int parcel_read(int in_fd, const struct parcel *expected, int dir_fd, const char *to,
		struct err *err)
{
	struct reading r = {in_fd, dir_fd, to, json_object(), json_object(), json_object()};
	struct parcel found;
	struct err ignored;
	int rc = hash_fd(in_fd, &found, err);

	if (!rc && expected &&
	    (strcmp(found.sha256, expected->sha256) != 0 || found.bytes != expected->bytes))
		rc = err_set(err, ERR_USAGE, 0, "the archive is not the one that was announced");
	if (!rc && lseek(in_fd, 0, SEEK_SET) < 0)
		rc = err_set(err, ERR_INFRA, errno, "read an archive");
	if (!rc && (rc = read_all(&r, err)) && path_remove_tree(dir_fd, to, &ignored))
		rc = -1;
	json_decref(r.made);
	json_decref(r.links);
	json_decref(r.modes);
	return rc;
}
