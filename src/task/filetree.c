/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "task/filetree.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static void item_release(struct filetree_item *item)
{
	free(item->path);
	free(item->source);
	free(item->data);
}

void filetree_release(struct filetree *o)
{
	for (size_t i = 0; i < o->n; i++)
		item_release(&o->v[i]);
	free(o->v);
	*o = (struct filetree){0};
}

static struct filetree_item *filetree_append(struct filetree *o, const char *path,
					     enum filetree_kind kind)
{
	GROW(o->v, o->n, o->cap);
	o->v[o->n] = (struct filetree_item){.path = xstrdup(path), .kind = kind};
	return &o->v[o->n++];
}

static void set_data(struct filetree_item *item, const void *data, size_t len)
{
	free(item->data);
	item->data = xmalloc(len + 1);
	memcpy(item->data, data, len);
	item->data[len] = '\0';
	item->len = len;
	hash_once(data, len, item->digest);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct filetree_item *)a)->path,
		      ((const struct filetree_item *)b)->path);
}

struct scan {
	struct filetree *o;
	int top_fd;	    /* the task folder */
	const char *folder; /* below it */
	bool (*skip)(void *arg, const char *path);
	void *arg;
	struct issues *m;
	bool full; /* a bound was passed: said once */
};

int filetree_digest(int dir_fd, const char *path, int64_t max, int out_fd, char digest[HASH_HEX],
		    int64_t *size, struct err *err)
{
	AUTO(free) char *block = xmalloc(1 << 16);
	struct hash h;
	struct stat st;
	AUTO(fd) int fd = path_open_beneath(dir_fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return err_set(err, ERR_USAGE, 0, "%s: not a regular file", path);
	hash_init(&h);
	*size = 0;
	for (;;) {
		ssize_t n = read(fd, block, 1 << 16);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_INFRA, errno, "read %s", path);
		if (!n)
			break;
		*size += n;
		if (*size > max)
			return err_set(err, ERR_LIMIT, 0, "%s: larger than %lld bytes", path,
				       (long long)max);
		hash_bytes(&h, block, (size_t)n);
		if (out_fd >= 0 && path_write_all(out_fd, block, (size_t)n, err))
			return err_wrap(err, "copy %s", path);
	}
	hash_hex(&h, digest);
	return 0;
}

/* A target may climb with leading ".." only: behind a name, which may be a link itself, ".." would
 * lead elsewhere than its text says. */
static bool link_stays_inside(const char *path, const char *target)
{
	size_t depth = 0;
	bool named = false;

	for (const char *p = path; (p = strchr(p, '/')); p++)
		depth++;
	if (!*target || *target == '/')
		return false;
	for (const char *p = target; *p;) {
		size_t n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.') {
			if (named || !depth--)
				return false;
		} else if (n && !(n == 1 && p[0] == '.')) {
			named = true;
		}
		p += n + (p[n] == '/');
	}
	return true;
}

static void scan_fail(struct scan *s, const char *path, const char *why)
{
	AUTO(free) char *file = path_join(s->folder, path);
	issues_add(s->m, file, NULL, "%s", why);
}

static void scan_link(struct scan *s, int dir_fd, const char *name, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof target - 1);

	if (n < 0) {
		scan_fail(s, path, strerror(errno));
		return;
	}
	target[n] = '\0';
	if (!s->o->exact && !link_stays_inside(path, target)) {
		AUTO(free) char *file = path_join(s->folder, path);
		issues_add(s->m, file, NULL,
			   "the symbolic link leads to \"%s\", outside of %s; make it a file or "
			   "a link "
			   "that stays inside",
			   target, s->folder);
		return;
	}
	set_data(filetree_append(s->o, path, FILETREE_LINK), target, (size_t)n);
}

/* Its owner must be able to read it, and to remove it again. */
static void keep_exact(const struct scan *s, struct filetree_item *item, const struct stat *st)
{
	if (!s->o->exact)
		return;
	item->mode = (st->st_mode & 0777) | (S_ISDIR(st->st_mode) ? 0700 : 0400);
	item->mtime_s = st->st_mtim.tv_sec;
}

static void scan_file(struct scan *s, const char *path, const struct stat *st)
{
	AUTO(free) char *source = path_join(s->folder, path);
	char digest[HASH_HEX];
	struct err err;
	int64_t size;

	if (filetree_digest(s->top_fd, source, FILETREE_MAX_FILE, -1, digest, &size, &err)) {
		issues_add(s->m, source, NULL, "cannot be read: %s", err.msg);
		return;
	}
	struct filetree_item *item = filetree_append(s->o, path, FILETREE_FILE);
	item->source = STEAL(&source);
	item->executable = st->st_mode & S_IXUSR;
	keep_exact(s, item, st);
	memcpy(item->digest, digest, sizeof digest);
	s->o->bytes += size;
}

static void scan_dir(struct scan *s, int fd, const char *prefix, int depth);

static void scan_entry(struct scan *s, int dir_fd, const char *name, const char *path, int depth)
{
	struct stat st;

	if (s->skip && s->skip(s->arg, path))
		return;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		scan_fail(s, path, strerror(errno));
	} else if (S_ISLNK(st.st_mode)) {
		scan_link(s, dir_fd, name, path);
	} else if (S_ISREG(st.st_mode)) {
		scan_file(s, path, &st);
	} else if (!S_ISDIR(st.st_mode)) {
		scan_fail(s, path, "not a file, a folder or a symbolic link; remove it");
	} else {
		keep_exact(s, filetree_append(s->o, path, FILETREE_DIR), &st);
		AUTO(fd)
		int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		scan_dir(s, fd, path, depth + 1);
	}
}

static bool scan_is_full(struct scan *s, int depth)
{
	const char *why = depth > FILETREE_MAX_DEPTH	     ? "more than 64 folders deep"
			  : s->o->n >= FILETREE_MAX_ITEMS    ? "more than 20000 files"
			  : s->o->bytes > FILETREE_MAX_BYTES ? "more than 1 GiB"
							     : NULL;
	if (why && !s->full)
		issues_add(s->m, s->folder, NULL, "%s; keep large data in the repository", why);
	return s->full = s->full || why;
}

static void scan_dir(struct scan *s, int fd, const char *prefix, int depth)
{
	AUTO(fd) int own = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir) DIR *d = own < 0 ? NULL : fdopendir(own);

	if (!d) {
		scan_fail(s, prefix, strerror(errno));
		return;
	}
	fd_steal(&own);
	for (struct dirent *e; !scan_is_full(s, depth) && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		AUTO(free) char *path = *prefix ? path_join(prefix, e->d_name) : xstrdup(e->d_name);
		scan_entry(s, fd, e->d_name, path, depth);
	}
}

void filetree_scan(struct filetree *o, int dir_fd, const char *folder,
		   bool (*skip)(void *arg, const char *path), void *arg, struct issues *m)
{
	struct scan s = {o, dir_fd, folder, skip, arg, m, false};
	AUTO(fd) int fd = openat(dir_fd, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0)
		issues_add(m, folder, NULL, "must be a folder (%s)", strerror(errno));
	else
		scan_dir(&s, fd, "", 0);
	if (o->n)
		qsort(o->v, o->n, sizeof *o->v, by_path);
}

/* Where PATH is, or would be inserted. */
static size_t filetree_find(const struct filetree *o, const char *path, bool *found)
{
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = strcmp(o->v[mid].path, path);
		if (!c) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = false;
	return lo;
}

static struct filetree_item *filetree_insert(struct filetree *o, const char *path,
					     enum filetree_kind kind)
{
	bool found;
	size_t i = filetree_find(o, path, &found);

	if (found)
		return &o->v[i];
	GROW(o->v, o->n, o->cap);
	memmove(&o->v[i + 1], &o->v[i], (o->n - i) * sizeof *o->v);
	o->n++;
	o->v[i] = (struct filetree_item){.path = xstrdup(path), .kind = kind};
	return &o->v[i];
}

static char *why_not(const struct filetree *o, const char *path)
{
	bool found;
	size_t i = filetree_find(o, path, &found);

	if (found && o->v[i].kind == FILETREE_DIR)
		return xasprintf("\"%s\" is a folder already", path);
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		AUTO(free) char *parent = xstrndup(path, (size_t)(slash - path));
		i = filetree_find(o, parent, &found);
		if (found && o->v[i].kind == FILETREE_LINK)
			return xasprintf("\"%s\" leads through the symbolic link \"%s\"", path,
					 parent);
		if (found && o->v[i].kind == FILETREE_FILE)
			return xasprintf("\"%s\" needs a folder where \"%s\" is a file", path,
					 parent);
	}
	return NULL;
}

char *filetree_put(struct filetree *o, const char *path, const void *data, size_t len)
{
	char *why = why_not(o, path);

	if (why)
		return why;
	if (o->n >= 2 * FILETREE_MAX_ITEMS || o->bytes + (int64_t)len > FILETREE_MAX_BYTES)
		return xstrdup("too many or too large files");
	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		AUTO(free) char *parent = xstrndup(path, (size_t)(slash - path));
		filetree_insert(o, parent, FILETREE_DIR);
	}
	struct filetree_item *item = filetree_insert(o, path, FILETREE_FILE);
	item->kind = FILETREE_FILE;
	item->executable = item->executable || (len > 1 && !memcmp(data, "#!", 2));
	free(STEAL(&item->source));
	set_data(item, data, len);
	o->bytes += (int64_t)len;
	return NULL;
}

void filetree_drop(struct filetree *o, const char *digest, struct strv *removed)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (o->v[i].kind == FILETREE_FILE && !strcmp(o->v[i].digest, digest)) {
			strv_push(removed, o->v[i].path);
			item_release(&o->v[i]);
		} else {
			o->v[kept++] = o->v[i];
		}
	}
	o->n = kept;
}

void filetree_remove(struct filetree *o,
		     bool (*which)(void *arg, const struct filetree *o, size_t i), void *arg)
{
	for (size_t i = o->n; i-- > 0;) {
		if (!which(arg, o, i))
			continue;
		item_release(&o->v[i]);
		o->n--;
		memmove(o->v + i, o->v + i + 1, (o->n - i) * sizeof *o->v);
	}
}

void filetree_graft(struct filetree *o, const char *name, struct filetree *from)
{
	filetree_insert(o, name, FILETREE_DIR);
	for (size_t i = 0; i < from->n; i++) {
		struct filetree_item item = from->v[i];
		AUTO(free) char *below = item.path;
		item.path = path_join(name, below);
		GROW(o->v, o->n, o->cap);
		o->v[o->n++] = item;
	}
	o->bytes += from->bytes;
	free(from->v);
	*from = (struct filetree){0};
	qsort(o->v, o->n, sizeof *o->v, by_path);
}

void filetree_hash(const struct filetree *o, struct hash *h)
{
	for (size_t i = 0; i < o->n; i++) {
		static const char *const kinds[] = {"dir", "file", "link"};
		const struct filetree_item *item = &o->v[i];
		hash_str(h, item->executable ? "program" : kinds[item->kind]);
		hash_str(h, item->path);
		hash_str(h, item->digest);
		if (o->exact) {
			char mode[8];
			snprintf(mode, sizeof mode, "%03o", item->mode);
			hash_str(h, mode);
		}
	}
	hash_str(h, NULL);
}

static int write_file(const struct filetree_item *item, int src_fd, int dst_fd, struct err *err)
{
	mode_t mode = item->executable ? 0755 : 0644;
	char digest[HASH_HEX];
	int64_t size;
	AUTO(fd)
	int fd = path_open_beneath(dst_fd, item->path, O_WRONLY | O_CREAT | O_EXCL, mode, err);

	if (fd < 0)
		return -1;
	if (fchmod(fd, mode))
		return err_set(err, ERR_INFRA, errno, "set mode of %s", item->path);
	if (!item->source)
		return path_write_all(fd, item->data, item->len, err);
	if (filetree_digest(src_fd, item->source, FILETREE_MAX_FILE, fd, digest, &size, err))
		return -1;
	if (strcmp(digest, item->digest))
		return err_set(err, ERR_USAGE, 0,
			       "%s changed while the task was being read; run again", item->source);
	return 0;
}

static int write_dir(const char *path, int dst_fd, struct err *err)
{
	if (mkdirat(dst_fd, path, 0755))
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	AUTO(fd) int fd = path_open_beneath(dst_fd, path, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	return fchmod(fd, 0755) ? err_set(err, ERR_INFRA, errno, "set mode of %s", path) : 0;
}

/* Backwards: a folder's own time is set after what is in it. */
static int set_exact(const struct filetree *o, int dst_fd, struct err *err)
{
	for (size_t i = o->n; i-- > 0;) {
		const struct filetree_item *item = &o->v[i];
		const struct timespec times[2] = {{item->mtime_s, 0}, {item->mtime_s, 0}};
		if (!item->mode || item->kind == FILETREE_LINK)
			continue;
		if (fchmodat(dst_fd, item->path, item->mode, 0) ||
		    utimensat(dst_fd, item->path, times, AT_SYMLINK_NOFOLLOW))
			return err_set(err, ERR_INFRA, errno, "set mode of %s", item->path);
	}
	return 0;
}

int filetree_write(const struct filetree *o, int src_fd, int dst_fd, struct err *err)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct filetree_item *item = &o->v[i];
		if (item->kind == FILETREE_DIR && write_dir(item->path, dst_fd, err))
			return -1;
		if (item->kind == FILETREE_LINK && symlinkat(item->data, dst_fd, item->path))
			return err_set(err, ERR_INFRA, errno, "make link %s", item->path);
		if (item->kind == FILETREE_FILE && write_file(item, src_fd, dst_fd, err))
			return err_wrap(err, "%s", item->path);
	}
	return o->exact ? set_exact(o, dst_fd, err) : 0;
}
