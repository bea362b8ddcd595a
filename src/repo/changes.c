/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repo/changes.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "os/dir.h"
#include "git/git.h"
#include "repo/ignore.h"
#include "repo/index.h"

enum {
	LIST_MAX = 1000,
	HOOKS_MAX = 20,
	DEPTH_MAX = 200,
	ENTRIES_MAX = 1000000,
	RULES_MAX = 1 << 20,
	TIMES_MAX = 16 << 20, /* bytes */
};

struct walk {
	const struct repo_diff_spec *spec;
	const char *commit;
	int scratch_fd;
	struct import *imp;
	struct repo_diff *out;
	struct ignore ignore;
	struct index_names forced; /* what the agent's index holds */
	bool forced_read;
	struct buf path; /* of the directory being walked: "" or ending in a slash */
	int top_fd;	 /* borrowed */
	int below_fd;	 /* what an image's own copy shows through, or -1 */
	bool overlay, full;
	int64_t entries, file_max, content_max, times_size;
};

/* One directory on the way down. */
struct frame {
	struct frame *up;
	int fd, base_fd; /* base_fd: the same directory of the baseline, or -1 */
	bool complete;	 /* what is not here was deleted */
	bool shadowed;	 /* the ignore rules know it */
	bool ignored;	 /* of what is new in it, only what the agent's index holds counts */
	int depth;
};

struct entry {
	char *name;
	struct stat st, base;
	bool has_base, ask, ignored, forced;
};

struct entries {
	struct entry *v;
	size_t n, cap;
};

static void auto_entries(struct entries *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].name);
	free(e->v);
}

// The path of NAME in the current directory; the caller frees.
static char *path_of(const struct walk *w, const char *name)
{
	return xasprintf("%s%s", w->path.data, name);
}

static void skip(struct walk *w, const char *name, const char *reason)
{
	if (w->out->skipped.n < LIST_MAX)
		strv_pushf(&w->out->skipped, "%s%s: %s", w->path.data, name, reason);
}

static void fill_up(struct walk *w, const char *reason)
{
	if (!w->full && w->out->skipped.n < LIST_MAX)
		strv_pushf(&w->out->skipped, "everything after %s: %s",
			   w->path.len ? w->path.data : "the first files", reason);
	w->full = w->out->truncated = true;
}

static int begin(struct walk *w, struct err *err)
{
	if (w->imp->fd >= 0)
		return 0;
	if (import_open(w->imp, w->scratch_fd, err) < 0)
		return -1;
	return import_commit(w->imp, w->commit, 0, "changes", err);
}

static int delete (struct walk *w, const char *name, struct err *err)
{
	AUTO(free) char *path = path_of(w, name);
	if (begin(w, err) < 0)
		return -1;
	return import_delete(w->imp, path, err);
}

// What an agent made unreadable is ours all the same: give ourselves access, by a handle that follows nothing.
static int open_for_us(int dir_fd, const char *name, int flags)
{
	AUTO(fd) int handle = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char proc[48];
	struct stat st;
	if (handle < 0 || fstat(handle, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return -1;
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", handle);
	mode_t need = S_ISDIR(st.st_mode) ? S_IRUSR | S_IXUSR : S_IRUSR;
	if (chmod(proc, (st.st_mode & 07777) | need) < 0)
		return -1;
	return openat(dir_fd, name, flags);
}

static int open_own(int dir_fd, const char *name, int flags)
{
	flags |= O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = openat(dir_fd, name, flags);
	// A directory may be readable and yet not let us reach what is in it.
	if (fd >= 0 && (!(flags & O_DIRECTORY) || faccessat(fd, ".", X_OK, AT_EACCESS) == 0))
		return fd;
	if (fd < 0 && errno != EACCES)
		return -1;
	auto_fd(&fd);
	return open_for_us(dir_fd, name, flags);
}

static ssize_t read_full(int fd, char *to, size_t n)
{
	size_t got = 0;
	while (got < n) {
		ssize_t k = read(fd, to + got, n - got);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		if (k == 0)
			break;
		got += (size_t)k;
	}
	return (ssize_t)got;
}

// Compares from the start and leaves FD there. A file that cannot be read counts as different.
static bool same_content(int fd, int base_fd, const char *name)
{
	enum { BLOCK = 65536 };
	AUTO(fd) int base = openat(base_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	AUTO(free) char *blocks = xmalloc(2 * BLOCK);
	bool same = base >= 0;
	while (same) {
		ssize_t a = read_full(fd, blocks, BLOCK),
			b = read_full(base, blocks + BLOCK, BLOCK);
		same = a >= 0 && a == b && memcmp(blocks, blocks + BLOCK, (size_t)a) == 0;
		if (a <= 0)
			break;
	}
	return lseek(fd, 0, SEEK_SET) == 0 && same;
}

static bool is_executable(const struct stat *st)
{
	return st->st_mode & S_IXUSR;
}

// A time to apply with the diff. What has the time and size of the baseline's file but other contents is a second
// younger: the minimal stat data that the repository is read with would take it for unchanged.
static void note_time(struct walk *w, const struct entry *e)
{
	struct timespec t = e->st.st_mtim;
	if (e->has_base && t.tv_sec == e->base.st_mtim.tv_sec)
		t.tv_sec++;
	AUTO(free)
	char *line =
		xasprintf("%lld.%09ld %s%s", (long long)t.tv_sec, t.tv_nsec, w->path.data, e->name);
	w->times_size += (int64_t)strlen(line) + 1;
	if (w->times_size <= TIMES_MAX)
		strv_take(&w->out->times, STEAL(&line));
}

static bool same_time(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int add_regular(struct walk *w, const struct frame *f, const struct entry *e,
		       struct err *err)
{
	bool tracked = e->has_base && S_ISREG(e->base.st_mode), short_read;
	bool same_mode = tracked && is_executable(&e->st) == is_executable(&e->base);
	// What was tracked is a change whatever its size; the bound is for what somebody left lying about.
	if (!tracked && e->st.st_size > w->file_max) {
		skip(w, e->name, "a new file that is too large (diff_mb)");
		return 0;
	}
	AUTO(fd) int fd = open_own(f->fd, e->name, 0);
	if (fd < 0) {
		skip(w, e->name, strerror(errno));
		return 0;
	}
	if (same_mode && e->st.st_size == e->base.st_size &&
	    same_content(fd, f->base_fd, e->name)) {
		if (!same_time(&e->st, &e->base))
			note_time(w, e);
		return 0;
	}
	if (begin(w, err) < 0)
		return -1;
	if (w->imp->size + e->st.st_size > w->content_max) {
		fill_up(w, "the changes are too large together");
		return 0;
	}
	AUTO(free) char *path = path_of(w, e->name);
	if (import_file(w->imp, path, is_executable(&e->st), fd, e->st.st_size, &short_read, err) <
	    0)
		return -1;
	if (short_read)
		skip(w, e->name, "could not be read to its end");
	else
		note_time(w, e);
	return 0;
}

static int add_link(struct walk *w, const struct frame *f, const struct entry *e, struct err *err)
{
	char target[PATH_MAX], base[PATH_MAX];
	if (strcasecmp(e->name, ".gitmodules") == 0) {
		skip(w, e->name, "git refuses a link of this name");
		return 0;
	}
	ssize_t n = readlinkat(f->fd, e->name, target, sizeof target);
	if (n < 0) {
		skip(w, e->name, strerror(errno));
		return 0;
	}
	if (e->has_base && S_ISLNK(e->base.st_mode) &&
	    readlinkat(f->base_fd, e->name, base, sizeof base) == n &&
	    memcmp(target, base, (size_t)n) == 0)
		return 0;
	AUTO(free) char *path = path_of(w, e->name);
	if (begin(w, err) < 0)
		return -1;
	return import_link(w->imp, path, target, (size_t)n, err);
}

static bool is_whiteout(const struct walk *w, const struct stat *st)
{
	return w->overlay && S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static bool is_kept_kind(const struct stat *st)
{
	return S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) || S_ISDIR(st->st_mode);
}

// Tracked: the baseline has it as a file or a link; a directory there is tracked as what it holds.
static bool is_tracked(const struct entry *e)
{
	return e->has_base && S_ISDIR(e->base.st_mode) == S_ISDIR(e->st.st_mode);
}

// Only a submodule leaves an empty directory in a work tree checked out from a commit.
static bool is_empty_dir(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; d && (e = readdir(d));)
		if (!dir_is_dots(e->d_name))
			return false;
	return d;
}

static int delete_base(struct walk *w, const struct frame *f, const char *name,
		       const struct stat *base, struct err *err)
{
	if (S_ISDIR(base->st_mode) && is_empty_dir(f->base_fd, name))
		return 0;
	return delete (w, name, err);
}

static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static int add_entry(struct walk *w, const struct frame *f, struct entries *list, const char *name,
		     struct err *err)
{
	struct entry e = {0};
	if (strcasecmp(name, ".git") == 0) {
		if (f->up || strcmp(name, ".git") != 0)
			skip(w, name, "git keeps nothing of this name");
		return 0;
	}
	if (fstatat(f->fd, name, &e.st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_set(err, ERR_INFRA, errno, "stat %s", name);
	e.has_base =
		f->base_fd >= 0 && fstatat(f->base_fd, name, &e.base, AT_SYMLINK_NOFOLLOW) == 0;
	e.ask = is_kept_kind(&e.st) && !is_tracked(&e);
	e.name = xstrdup(name);
	GROW(list->v, list->n, list->cap);
	list->v[list->n++] = e;
	return 0;
}

static int list_entries(struct walk *w, const struct frame *f, struct entries *list,
			struct err *err)
{
	int fd = openat(f->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "list %s", w->path.data);
	for (struct dirent *e; (e = readdir(d));) {
		if (dir_is_dots(e->d_name))
			continue;
		if (++w->entries > ENTRIES_MAX) {
			fill_up(w, "too many files");
			break;
		}
		if (w->spec->deadline_ms && w->entries % 1024 == 0 &&
		    clock_mono_ms() > w->spec->deadline_ms) {
			err_set(err, ERR_LIMIT, 0, "diff: time limit reached");
			return err_from_box(err);
		}
		if (add_entry(w, f, list, e->d_name, err) < 0)
			return -1;
	}
	if (list->n)
		qsort(list->v, list->n, sizeof *list->v, by_name);
	return 0;
}

// The merged directory's .gitignore, if it is a plain file: git follows no link to one either.
static int open_rules(struct walk *w, const struct frame *f)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct stat st;
	int fd = -1;
	if (fstatat(f->fd, ".gitignore", &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISREG(st.st_mode))
			fd = open_own(f->fd, ".gitignore", 0);
	} else if (w->overlay && !f->complete && f->base_fd >= 0) {
		fd = openat(f->base_fd, ".gitignore", flags);
	}
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= RULES_MAX)
		return fd;
	if (S_ISREG(st.st_mode))
		skip(w, ".gitignore", "too large to be obeyed");
	close(fd);
	return -1;
}

// Directories enter the shadow only when something in them, or below, is asked about. LEN: of its
// path.
static int shadow(struct walk *w, struct frame *f, size_t len, struct err *err)
{
	if (f->shadowed)
		return 0;
	AUTO(free) char *path = xstrndup(w->path.data, len ? len - 1 : 0);
	if (f->up) {
		const char *slash = strrchr(path, '/');
		if (shadow(w, f->up, slash ? (size_t)(slash - path) + 1 : 0, err) < 0)
			return -1;
	}
	if (ignore_add_dir(&w->ignore, path, err) < 0)
		return -1;
	AUTO(fd) int rules = open_rules(w, f);
	if (rules >= 0 && ignore_add_rules(&w->ignore, path, rules, err) < 0)
		return -1;
	f->shadowed = true;
	return 0;
}

static int ask_about(struct walk *w, struct frame *f, struct entries *list, size_t n,
		     struct err *err)
{
	AUTO(strv) struct strv paths = STRV_INIT;
	AUTO(free) bool *answers = xcalloc(n, sizeof *answers);
	if (shadow(w, f, w->path.len, err) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++) {
		if (!list->v[i].ask)
			continue;
		strv_take(&paths, path_of(w, list->v[i].name));
		// `build/` matches directories only, and git looks at what is there.
		if (S_ISDIR(list->v[i].st.st_mode) &&
		    ignore_add_dir(&w->ignore, paths.v[paths.n - 1], err) < 0)
			return -1;
	}
	ignore_ask(&w->ignore, strv_items(&paths), n, answers);
	for (size_t i = 0, k = 0; i < list->n; i++)
		if (list->v[i].ask)
			list->v[i].ignored = answers[k++];
	return 0;
}

// What an agent added by force, or renamed from what was tracked, is its work whatever the rules say. A
// directory: something below it.
static bool is_forced(struct walk *w, const struct entry *e)
{
	AUTO(free)
	char *path = xasprintf("%s%s%s", w->path.data, e->name, S_ISDIR(e->st.st_mode) ? "/" : "");
	if (!w->forced_read) {
		AUTO(fd) int git_fd = open_own(w->top_fd, ".git", O_DIRECTORY);
		index_read(&w->forced, git_fd);
		w->forced_read = true;
	}
	return index_has(&w->forced, path);
}

// Sets ignored and forced.
static int ask(struct walk *w, struct frame *f, struct entries *list, struct err *err)
{
	size_t n = 0;
	for (size_t i = 0; i < list->n; i++) {
		n += list->v[i].ask;
		list->v[i].ignored = f->ignored && list->v[i].ask;
	}
	if (n && !f->ignored && !w->ignore.broken && ask_about(w, f, list, n, err) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++)
		list->v[i].forced = list->v[i].ignored && is_forced(w, &list->v[i]);
	return 0;
}

static int walk_dir(struct walk *w, struct frame *f, struct err *err);

static bool is_opaque(int fd)
{
	char value;
	return (fgetxattr(fd, "user.overlay.opaque", &value, 1) == 1 && value == 'y') ||
	       (fgetxattr(fd, "trusted.overlay.opaque", &value, 1) == 1 && value == 'y');
}

static int enter(struct walk *w, struct frame *f, const struct entry *e, struct err *err)
{
	bool in_base = e->has_base && S_ISDIR(e->base.st_mode);
	if (in_base && is_empty_dir(f->base_fd, e->name)) {
		if (!is_empty_dir(f->fd, e->name))
			skip(w, e->name, "files inside a submodule");
		return 0;
	}
	if (f->depth >= DEPTH_MAX ||
	    w->path.len + strlen(e->name) + sizeof "/.gitignore" >= PATH_MAX) {
		skip(w, e->name, "too deep");
		return 0;
	}
	AUTO(fd) int fd = open_own(f->fd, e->name, O_DIRECTORY);
	AUTO(fd) int base = -1;
	if (fd < 0) {
		skip(w, e->name, strerror(errno));
		return 0;
	}
	if (in_base)
		base = openat(f->base_fd, e->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (in_base && base < 0)
		return err_set(err, ERR_INFRA, errno, "open the baseline's %s", e->name);
	struct frame below = {.up = f,
			      .fd = fd,
			      .base_fd = base,
			      .complete = f->complete || (w->overlay && is_opaque(fd)),
			      .ignored = e->ignored,
			      .depth = f->depth + 1};
	size_t len = w->path.len;
	buf_addf(&w->path, "%s/", e->name);
	int rc = walk_dir(w, &below, err);
	w->path.len = len;
	w->path.data[len] = '\0';
	return rc;
}

static void list_ignored(struct walk *w, const struct entry *e)
{
	if (w->out->ignored.n < LIST_MAX)
		strv_pushf(&w->out->ignored, "%s%s%s", w->path.data, e->name,
			   S_ISDIR(e->st.st_mode) ? "/" : "");
}

// Whether it is as the image's own copy had it from the beginning.
static bool was_below(const struct walk *w, const struct frame *f, const struct entry *e)
{
	AUTO(free) char *path = path_of(w, e->name);
	const char *slash = strrchr(path, '/');
	char ours[PATH_MAX], theirs[PATH_MAX];
	struct err ignored = {0};
	struct stat st;
	if (w->below_fd < 0 || e->has_base || S_ISDIR(e->st.st_mode))
		return false;
	AUTO(free) char *parent = xstrndup(path, slash ? (size_t)(slash - path) : 0);
	AUTO(fd)
	int dir = path_open_beneath(w->below_fd, *parent ? parent : ".", O_RDONLY | O_DIRECTORY, 0,
				    &ignored);
	if (dir < 0 || fstatat(dir, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (st.st_mode & S_IFMT) != (e->st.st_mode & S_IFMT) || st.st_size != e->st.st_size)
		return false;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(f->fd, e->name, ours, sizeof ours);
		return n >= 0 && readlinkat(dir, e->name, theirs, sizeof theirs) == n &&
		       memcmp(ours, theirs, (size_t)n) == 0;
	}
	if (is_executable(&st) != is_executable(&e->st))
		return false;
	AUTO(fd) int fd = open_own(f->fd, e->name, 0);
	return fd >= 0 && same_content(fd, dir, e->name);
}

// A folder of the image's own copy that is still there is nobody's work.
static bool is_below_dir(const struct walk *w, const struct entry *e)
{
	AUTO(free) char *path = path_of(w, e->name);
	struct err ignored = {0};
	AUTO(fd)
	int dir = w->below_fd < 0 || !S_ISDIR(e->st.st_mode)
			  ? -1
			  : path_open_beneath(w->below_fd, path, O_PATH | O_DIRECTORY, 0, &ignored);
	return dir >= 0;
}

static int visit(struct walk *w, struct frame *f, const struct entry *e, struct err *err)
{
	bool whiteout = is_whiteout(w, &e->st), replaced = e->has_base && !is_tracked(e);
	if (e->has_base && (whiteout || replaced || !is_kept_kind(&e->st)) &&
	    delete_base(w, f, e->name, &e->base, err) < 0)
		return -1;
	if (whiteout)
		return 0;
	if (e->ignored && !e->forced) {
		if (!is_below_dir(w, e) && !was_below(w, f, e))
			list_ignored(w, e);
		return 0;
	}
	if (was_below(w, f, e))
		return 0;
	if (S_ISDIR(e->st.st_mode))
		return enter(w, f, e, err);
	if (S_ISREG(e->st.st_mode))
		return add_regular(w, f, e, err);
	if (S_ISLNK(e->st.st_mode))
		return add_link(w, f, e, err);
	skip(w, e->name, "neither a file nor a link");
	return 0;
}

// Where the directory is complete, what the baseline has and it has not was deleted.
static int find_deleted(struct walk *w, const struct frame *f, const struct entries *list,
			struct err *err)
{
	int fd = openat(f->base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return err_set(err, ERR_INFRA, errno, "list the baseline's %s", w->path.data);
	for (struct dirent *b; (b = readdir(d));) {
		struct entry want = {.name = b->d_name};
		struct stat st;
		if (dir_is_dots(b->d_name) || strcmp(b->d_name, ".git") == 0)
			continue;
		if (list->n && bsearch(&want, list->v, list->n, sizeof want, by_name))
			continue;
		if (fstatat(fd, b->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    delete_base(w, f, b->d_name, &st, err) < 0)
			return -1;
	}
	return 0;
}

static int walk_dir(struct walk *w, struct frame *f, struct err *err)
{
	AUTO(entries) struct entries list = {0};
	if (list_entries(w, f, &list, err) < 0 || ask(w, f, &list, err) < 0)
		return -1;
	for (size_t i = 0; i < list.n && !w->full; i++)
		if (visit(w, f, &list.v[i], err) < 0)
			return -1;
	if (f->complete && f->base_fd >= 0 && !w->full)
		return find_deleted(w, f, &list, err);
	return 0;
}

static int open_roots(const struct repo_diff_spec *s, int *fd, int *base_fd, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	const char *top = s->upper ? s->upper : s->work;
	AUTO(free) char *base = path_join(s->base, BASELINE_REPO);
	*fd = open(top, flags);
	if (*fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", top);
	*base_fd = open(base, flags);
	if (*base_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", base);
	return 0;
}

// A baseline has no hooks.
static void find_hooks(struct walk *w)
{
	AUTO(fd) int git_fd = open_own(w->top_fd, ".git", O_DIRECTORY);
	int fd = git_fd < 0 ? -1 : open_own(git_fd, "hooks", O_DIRECTORY);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !d)
		close(fd);
	for (struct dirent *e; d && (e = readdir(d)) && w->out->hooks.n < HOOKS_MAX;)
		if (!dir_is_dots(e->d_name) && !text_ends_with(e->d_name, ".sample"))
			strv_push(&w->out->hooks, e->d_name);
}

int changes_find(struct import *imp, struct repo_diff *out, const struct repo_diff_spec *s,
		 int scratch_fd, const char *commit, struct err *err)
{
	AUTO(fd) int fd = -1;
	AUTO(fd) int base_fd = -1;
	AUTO(free) char *below = path_join(s->base, BASELINE_BELOW);
	AUTO(fd) int below_fd = open(below, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int64_t patch_max = s->max_bytes ? s->max_bytes : CHANGES_DEFAULT_PATCH;
	*imp = (struct import){.fd = -1, .buf = BUF_INIT};
	if (open_roots(s, &fd, &base_fd, err) < 0)
		return -1;
	struct walk w = {
		.spec = s,
		.commit = commit,
		.scratch_fd = scratch_fd,
		.imp = imp,
		.out = out,
		.path = BUF_INIT,
		.top_fd = fd,
		.below_fd = below_fd,
		.overlay = s->upper,
		.file_max = s->max_file_bytes ? s->max_file_bytes : patch_max / 4,
		// Binary content may shrink to a quarter; more than that is not worth the reading.
		.content_max = 4 * patch_max};
	AUTO(free) char *git_dir = path_join(s->base, BASELINE_GIT);
	ignore_init(&w.ignore, git_dir, scratch_fd, s->deadline_ms);
	struct frame top = {.fd = fd, .base_fd = base_fd, .complete = !w.overlay || is_opaque(fd)};
	int rc = walk_dir(&w, &top, err);
	find_hooks(&w);
	if (w.ignore.broken)
		strv_pushf(&out->skipped, ".gitignore: %s: nothing more was ignored",
			   w.ignore.why.msg);
	ignore_release(&w.ignore);
	index_release(&w.forced);
	buf_release(&w.path);
	return rc;
}
