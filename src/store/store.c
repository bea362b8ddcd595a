// SPDX-License-Identifier: GPL-3.0-or-later
#include "store/store.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "store/planfile.h"

enum { NAME_MAX_BYTES = 100 };

bool store_name_is_valid(const char *name)
{
	if (!*name || *name == '.' || strlen(name) > NAME_MAX_BYTES || !strcmp(name, "temp"))
		return false;
	for (const char *c = name; *c; c++)
		if (*c == '/' || iscntrl((unsigned char)*c))
			return false;
	return true;
}

/* Workers of root become other users, who must be able to pass through; they need not be able to
 * look. */
static int make_passable(int root_fd, const char *path, struct err *err)
{
	struct stat st;

	if (mkdirat(root_fd, path, 0711) && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "make directory %s", path);
	if (geteuid() != 0)
		return 0;
	if (fstatat(root_fd, path, &st, 0))
		return err_set(err, ERR_INFRA, errno, "stat %s", path);
	if ((st.st_mode & 0111) != 0111 && fchmodat(root_fd, path, (st.st_mode & 07777) | 0111, 0))
		return err_set(err, ERR_INFRA, errno, "make %s passable", path);
	return 0;
}

static int make_folders(int root_fd, struct err *err)
{
	static const char *const shared[] = {".", DATA_RUNS, DATA_CACHE};

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (make_passable(root_fd, shared[i], err))
			return -1;
	return path_make_dirs(root_fd, DATA_TEMP, 0755, err);
}

static int check_links(int root_fd, const char *root, struct err *err)
{
	static const char *const folders[] = {DATA_ROLLOUTS, DATA_RUNS, DATA_CACHE};
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (!fstatat(root_fd, folders[i], &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
			return err_set(
				err, ERR_USAGE, 0,
				"%s/%s is a link, and below a data folder none is followed: move "
				"%s as a whole "
				"and make it the link, or name another folder with --data-dir",
				root, folders[i], root);
	return 0;
}

int store_check_links(const struct store *s, struct err *err)
{
	return check_links(s->root_fd, s->root, err);
}

/* Told of a file that is made later it would be a riddle. */
static int check_writable(int root_fd, const char *data_dir, struct err *err)
{
	static const char *const places[] = {".", DATA_RUNS, DATA_ROLLOUTS};

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (faccessat(root_fd, places[i], W_OK | X_OK, AT_EACCESS) && errno != ENOENT)
			return err_set(err, ERR_INFRA, errno,
				       "data folder %s (--data-dir names another): write to %s%s",
				       data_dir, i ? "its " : "it", i ? places[i] : "");
	return 0;
}

static int cannot_open(const char *data_dir, int why, struct err *err)
{
	struct stat st;
	bool users = why == ENOENT || why == ENOTDIR || why == ELOOP;

	if (users && !lstat(data_dir, &st) && S_ISLNK(st.st_mode))
		return err_set(
			err, ERR_USAGE, 0,
			"data folder %s is a link that leads to no folder: mount or make what it "
			"names, or name another with --data-dir",
			data_dir);
	return err_set(err, users ? ERR_USAGE : ERR_INFRA, why,
		       "data folder %s (--data-dir names another)", data_dir);
}

int store_open(struct store *s, const char *data_dir, bool create, struct err *err)
{
	if (create && path_make_dirs(AT_FDCWD, data_dir, 0755, err))
		return err_wrap(err, "data folder %s (--data-dir names another)", data_dir);
	AUTO(fd) int fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return cannot_open(data_dir, errno, err);
	if (create && (check_writable(fd, data_dir, err) || check_links(fd, data_dir, err)))
		return -1;
	if (create && make_folders(fd, err))
		return err_wrap(err, "data folder %s (--data-dir names another)", data_dir);
	*s = (struct store){.root_fd = fd_steal(&fd), .root = xstrdup(data_dir)};
	for (size_t n = strlen(s->root); n > 1 && s->root[n - 1] == '/'; n--)
		s->root[n - 1] = '\0';
	if (!create || !store_use_cache(s, err))
		return 0;
	store_close(s);
	return -1;
}

void store_close(struct store *s)
{
	close(s->root_fd);
	if (s->cache_lock)
		close(s->cache_lock - 1);
	free(s->root);
	*s = (struct store){.root_fd = -1};
}

/* HOW: of flock(). */
static int lock_cache(struct store *s, int how, struct err *err)
{
	/* A lock for writing on a network file system wants a file open for writing; who may not write can still read. */
	AUTO(fd)
	int fd = openat(s->root_fd, DATA_CACHE_LOCK,
			O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
	struct stat dir, st;

	if (fd >= 0 && geteuid() == 0 && !fstat(s->root_fd, &dir) && !fstat(fd, &st) &&
	    st.st_uid != dir.st_uid && S_ISREG(st.st_mode))
		(void)!fchown(fd, dir.st_uid, dir.st_gid);
	if (fd < 0)
		fd = openat(s->root_fd, DATA_CACHE_LOCK,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0
				       : err_set(err, ERR_INFRA, errno, "open %s/" DATA_CACHE_LOCK,
						 s->root);
	while (flock(fd, how)) {
		if (errno == EWOULDBLOCK)
			return err_set(err, ERR_USAGE, 0,
				       "a benchmark is running, or about to, and uses the cache; "
				       "wait for it");
		if (errno != EINTR)
			break;
	}
	s->cache_lock = fd_steal(&fd) + 1;
	return 0;
}

int store_use_cache(struct store *s, struct err *err)
{
	return lock_cache(s, LOCK_SH, err);
}

int store_claim_cache(struct store *s, struct err *err)
{
	return lock_cache(s, LOCK_EX | LOCK_NB, err);
}

void rollout_ref_release(struct rollout_ref *r)
{
	free(r->name);
	free(r->stamp);
	free(r->path);
	*r = (struct rollout_ref){0};
}

struct refs {
	struct rollout_ref *v;
	size_t n, cap;
};

static void refs_release(struct refs *r)
{
	for (size_t i = 0; i < r->n; i++)
		rollout_ref_release(&r->v[i]);
	free(r->v);
	*r = (struct refs){0};
}

static void auto_refs(struct refs *r)
{
	refs_release(r);
}

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* A missing directory is an empty one: *OUT stays NULL. */
static int open_dir(int root_fd, const char *path, DIR **out, struct err *err)
{
	AUTO(fd) int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
		return 0;
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	*out = fdopendir(fd);
	if (*out)
		fd_steal(&fd);
	return 0;
}

/* A rollout is a folder with a plan: an interrupted start leaves none. */
static int list_name(const struct store *s, const char *name, struct refs *out, struct err *err)
{
	AUTO(free) char *folder = path_join("rollouts", name);
	AUTO(dir) DIR *d = NULL;

	if (open_dir(s->root_fd, folder, &d, err))
		return -1;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		char *path = path_join(folder, e->d_name);
		AUTO(free) char *plan = path_join(path, ROLLOUT_PLAN);
		if (!path_exists(s->root_fd, plan)) {
			free(path);
			continue;
		}
		GROW(out->v, out->n, out->cap);
		out->v[out->n++] = (struct rollout_ref){xstrdup(name), xstrdup(e->d_name), path};
	}
	return 0;
}

static int list_all(const struct store *s, struct refs *out, struct err *err)
{
	AUTO(dir) DIR *d = NULL;

	if (open_dir(s->root_fd, "rollouts", &d, err))
		return -1;
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && strcmp(e->d_name, "temp") &&
		    list_name(s, e->d_name, out, err))
			return -1;
	return 0;
}

static int by_stamp(const void *a, const void *b)
{
	const struct rollout_ref *x = a, *y = b;
	int order = strcmp(x->stamp, y->stamp);

	return order ? order : strcmp(x->name, y->name);
}

int store_list(const struct store *s, const char *name, struct rollout_ref **out, size_t *n,
	       struct err *err)
{
	AUTO(refs) struct refs refs = {0};

	if (name && !store_name_is_valid(name))
		return err_set(err, ERR_USAGE, 0, "\"%s\" cannot be the name of a benchmark", name);
	if (name ? list_name(s, name, &refs, err) : list_all(s, &refs, err))
		return -1;
	if (refs.n)
		qsort(refs.v, refs.n, sizeof *refs.v, by_stamp);
	*out = STEAL(&refs.v);
	*n = refs.n;
	refs.n = 0;
	return 0;
}

static bool has_tag(const struct store *s, const struct rollout_ref *ref, const char *tag)
{
	AUTO(strv) struct strv tags = STRV_INIT;
	struct err ignored;

	return !store_tags_read(s, ref, &tags, &ignored) && strv_has(&tags, tag);
}

static bool is_date(const char *s)
{
	enum { DATE = 8 };

	return strlen(s) == DATE && strspn(s, "0123456789") == DATE;
}

/* The index of what SELECTOR names, or -1; *FOUND counts the matches of the best kind. */
static ptrdiff_t choose(const struct store *s, const struct refs *refs, const char *selector,
			size_t *found)
{
	ptrdiff_t prefix = -1, tagged = -1;
	size_t prefixes = 0, tags = 0;

	*found = 1;
	for (size_t i = 0; i < refs->n; i++) {
		if (!strcmp(refs->v[i].stamp, selector))
			return (ptrdiff_t)i;
		if (!strncmp(refs->v[i].stamp, selector, strlen(selector))) {
			prefix = (ptrdiff_t)i;
			prefixes++;
		}
		if (has_tag(s, &refs->v[i], selector)) {
			tagged = (ptrdiff_t)i;
			tags++;
		}
	}
	/* They are sorted: of a day, the latest. */
	*found = tags ? tags : prefixes && is_date(selector) ? 1 : prefixes;
	return tags ? tagged : prefix;
}

static void name_stamps(struct buf *out, const struct refs *refs)
{
	enum { SHOWN = 5 };
	size_t from = refs->n > SHOWN ? refs->n - SHOWN : 0;

	if (from)
		buf_adds(out, "..., ");
	for (size_t i = from; i < refs->n; i++)
		buf_addf(out, "%s%s", refs->v[i].stamp, i + 1 < refs->n ? ", " : "");
}

/* What cannot be read is not "not there". */
static int check_readable(const struct store *s, const char *name, struct err *err)
{
	AUTO(free) char *folder = path_join(DATA_ROLLOUTS, name);
	AUTO(dir) DIR *d = NULL;

	if (open_dir(s->root_fd, folder, &d, err))
		return err_wrap(err, "%s", s->root);
	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO(free) char *plan = xasprintf("%s/%s/" ROLLOUT_PLAN, folder, e->d_name);
		if (e->d_name[0] != '.' && faccessat(s->root_fd, plan, F_OK, 0) && errno == EACCES)
			return err_set(err, ERR_INFRA, EACCES, "%s/%s/%s", s->root, folder,
				       e->d_name);
	}
	return 0;
}

static int no_such_name(const struct store *s, const char *name, struct err *err)
{
	AUTO(refs) struct refs all = {0};
	AUTO(strv) struct strv names = STRV_INIT;
	AUTO(buf) struct buf text = BUF_INIT;

	if (check_readable(s, name, err) || list_all(s, &all, err))
		return -1;
	for (size_t i = 0; i < all.n && text.len < 300; i++) {
		if (strv_has(&names, all.v[i].name))
			continue;
		buf_addf(&text, "%s%s", names.n ? ", " : "", all.v[i].name);
		strv_push(&names, all.v[i].name);
	}
	const char *near = text_nearest(name, strv_items(&names));
	return err_set(err, ERR_USAGE, 0, "%s: no rollout of \"%s\"%s%s%s (there is: %s)", s->root,
		       name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "",
		       names.n ? text.data : "nothing yet");
}

/* NAME as it was written, with what it says of a rollout taken off into *SELECTOR where that is not given. The caller
 * frees. */
static char *plain_name(const struct store *s, const char *name, const char **selector)
{
	AUTO(free) char *top = path_join(s->root, DATA_ROLLOUTS "/");
	size_t top_len = strlen(top), end = strlen(".toml");

	if (!strncmp(name, top, top_len)) {
		const char *rest = name + top_len;
		size_t len = strcspn(rest, "/");
		const char *stamp = rest + len + strspn(rest + len, "/");
		if (*stamp && !*selector)
			*selector = stamp;
		return xstrndup(rest, len);
	}
	const char *base = path_base(name);
	size_t len = strlen(base);
	return len > end && !strcmp(base + len - end, ".toml") ? xstrndup(base, len - end)
							       : xstrdup(name);
}

int store_find(const struct store *s, const char *given, const char *selector,
	       struct rollout_ref *out, struct err *err)
{
	AUTO(refs) struct refs refs = {0};
	AUTO(free) char *whole = xstrdup(given);
	for (size_t len = strlen(whole); len > 1 && whole[len - 1] == '/';)
		whole[--len] = '\0';
	AUTO(free) char *name = plain_name(s, whole, &selector);
	size_t found = 1;

	if (store_list(s, name, &refs.v, &refs.n, err))
		return -1;
	if (!refs.n)
		return no_such_name(s, name, err);
	ptrdiff_t i = selector ? choose(s, &refs, selector, &found) : (ptrdiff_t)refs.n - 1;
	if (i < 0 || found != 1) {
		AUTO(buf) struct buf stamps = BUF_INIT;
		name_stamps(&stamps, &refs);
		return err_set(err, ERR_USAGE, 0, "%s: %s \"%s\" (there is: %s)", name,
			       i < 0 ? "no rollout" : "more than one rollout", selector,
			       stamps.data);
	}
	*out = refs.v[i];
	refs.v[i] = (struct rollout_ref){0};
	return 0;
}

int store_tags_read(const struct store *s, const struct rollout_ref *ref, struct strv *out,
		    struct err *err)
{
	enum { TAGS_MAX = 1 << 20 };
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_TAGS);
	AUTO(buf) struct buf text = BUF_INIT;

	if (!path_exists(s->root_fd, path))
		return 0;
	if (path_read(s->root_fd, path, TAGS_MAX, &text, err))
		return -1;
	char *rest = text.data;
	for (char *line; (line = strsep(&rest, "\n"));)
		if (*line)
			strv_push(out, line);
	return 0;
}

int store_notes_read(const struct store *s, const struct rollout_ref *ref, json_t **out,
		     struct err *err)
{
	enum { NOTES_MAX = 1 << 20 };
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_NOTES);

	if (!path_exists(s->root_fd, path)) {
		*out = json_object();
		return 0;
	}
	if (json_read(out, s->root_fd, path, NOTES_MAX, err))
		return -1;
	if (json_is_object(*out) && json_get_int(*out, "v", 1) == 1)
		return 0;
	json_decref(*out);
	*out = NULL;
	return err_set(err, ERR_USAGE, 0, "%s/%s was written by a newer version, or is damaged",
		       s->root, path);
}

int store_notes_write(const struct store *s, const struct rollout_ref *ref, json_t *notes,
		      struct err *err)
{
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_NOTES);

	json_put_int(notes, "v", 1);
	return json_write(s->root_fd, path, notes, false, err);
}

int store_tags_write(const struct store *s, const struct rollout_ref *ref, const struct strv *tags,
		     struct err *err)
{
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_TAGS);
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < tags->n; i++)
		buf_addf(&text, "%s\n", tags->v[i]);
	return path_write(s->root_fd, path, text.data, text.len, 0644, false, err);
}

void store_command(struct buf *out, const char *root, const struct rollout_ref *ref,
		   const char *verb)
{
	buf_addf(out, "rollouts %s ", verb);
	text_shell(out, ref->name);
	buf_addf(out, " --rollout %s", ref->stamp);
	if (strcmp(root, "data") == 0)
		return;
	buf_adds(out, " --data-dir ");
	text_shell(out, root);
}
