/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/fdio.h"
#include "repo/build.h"
#include "os/dir.h"
#include "git/git.h"
#include "repo/mirror.h"
#include "repo/repo.h"

#define TMP ".tmp-" // what a maker works in: TMP KEY "." its own
enum { META_MAX = 65536, LAYOUT = 2 /* of a baseline's files; changed, all are made anew */ };

/* DATA_PINS/TASK_HASH.json {start_commit, key, layout}: what this task was resolved to the first time. A branch
 * that moves changes no benchmark half way, and the next trial reads two small files instead of
 * hashing. */
struct pin {
	char *start, *key; /* owned; key may be NULL */
};

static void auto_pin(struct pin *p)
{
	free(p->start);
	free(p->key);
}

static char *pin_path(const struct task *t)
{
	return t->hash[0] ? xasprintf(DATA_PINS "/%s.json", t->hash) : NULL;
}

static void pin_read(struct pin *pin, int root_fd, const struct task *t)
{
	struct err ignored = {0};
	AUTO(free) char *path = pin_path(t);
	AUTO(json) json_t *j = NULL;
	if (!path || json_read(&j, root_fd, path, META_MAX, &ignored) < 0)
		return;
	const char *start = json_get_str(j, "start_commit", ""),
		   *key = json_get_str(j, "key", NULL);
	if (!git_is_full_id(start))
		return;
	pin->start = xstrdup(start);
	if (key && git_is_full_id(key) && json_get_int(j, "layout", 1) == LAYOUT)
		pin->key = xstrdup(key);
}

static int pin_write(int root_fd, const struct task *t, const char *start, const char *key,
		     struct err *err)
{
	AUTO(free) char *path = pin_path(t);
	if (!path)
		return 0;
	AUTO(json) json_t *j = json_object();
	json_put_str(j, "start_commit", start);
	if (key) {
		json_put_str(j, "key", key);
		json_put_int(j, "layout", LAYOUT);
	}
	if (path_make_dirs(root_fd, DATA_PINS, 0755, err) < 0)
		return -1;
	return json_write(root_fd, path, j, false, err);
}

// False when there is none, or none that can be used.
static bool meta_read(struct repo_baseline *out, int root_fd, const char *key)
{
	struct err ignored = {0};
	AUTO(free) char *path = xasprintf(DATA_BASELINES "/%s", key);
	AUTO(free) char *meta = path_join(path, "meta.json");
	AUTO(json) json_t *j = NULL;
	if (json_read(&j, root_fd, meta, META_MAX, &ignored) < 0)
		return false;
	const char *start = json_get_str(j, "start_commit", ""),
		   *commit = json_get_str(j, "baseline_commit", "");
	if (!git_is_full_id(start) || !git_is_full_id(commit))
		return false;
	*out = (struct repo_baseline){.path = STEAL(&path),
				      .start_commit = xstrdup(start),
				      .baseline_commit = xstrdup(commit),
				      .files = json_get_int(j, "files", 0),
				      .bytes = json_get_int(j, "bytes", 0)};
	return true;
}

static int meta_write(const struct build *b, const struct built *made, struct err *err)
{
	AUTO(json) json_t *j = json_object();
	json_put_str(j, "start_commit", b->start);
	json_put_str(j, "baseline_commit", made->commit);
	json_put_str(j, "branch", b->branch);
	json_put_int(j, "files", made->files);
	json_put_int(j, "bytes", made->bytes);
	return json_write(b->tmp_fd, "meta.json", j, false, err);
}

static const char *branch_of(const struct task *t)
{
	return t->repo.branch && *t->repo.branch ? t->repo.branch : "main";
}

static void hash_list(struct hash *h, const struct strv *list)
{
	for (size_t i = 0; i < list->n; i++)
		hash_str(h, list->v[i]);
	hash_str(h, NULL);
}

static int make_key(char key[HASH_HEX], const struct task *t, const char *start,
		    const struct overlay *overlay, const char *own_copy, struct err *err)
{
	struct hash h;
	hash_init(&h);
	hash_str(&h, "baseline 2");
	hash_str(&h, start);
	hash_str(&h, branch_of(t));
	hash_str(&h, t->repo.subdir);
	hash_list(&h, &t->repo.sparse);
	hash_list(&h, &t->repo.remove);
	if (t->repo.submodules)
		hash_str(&h, "submodules");
	if (overlay_hash_files(overlay, &h, err) < 0)
		return -1;
	if (own_copy)
		hash_str(&h, own_copy);
	hash_hex(&h, key);
	return 0;
}

static int take_lock(int root_fd, const char *path, int64_t deadline_ms, struct err *err)
{
	int fd = fd_lock(root_fd, path, deadline_ms, err);
	if (fd < 0) {
		err->kind = ERR_INFRA;
		err->retry = true;
	}
	return fd;
}

// A branch, a tag or a HEAD is looked up once, under a lock, and then written down.
static int resolve_start(struct pin *pin, int root_fd, const struct task *t, int64_t deadline_ms,
			 struct err *err)
{
	const char *given = t->repo.start_commit;
	if (pin->start)
		return 0;
	if (given && git_is_full_id(given)) {
		pin->start = xstrdup(given);
		return 0;
	}
	if (given && *given)
		return err_set(err, ERR_USAGE, 0,
			       "repo.start_commit_sha: \"%s\" is not a full commit id", given);
	AUTO(free) char *lock_path = xasprintf(DATA_PINS "/%s.lock", t->hash[0] ? t->hash : "none");
	if (path_make_dirs(root_fd, DATA_PINS, 0755, err) < 0)
		return -1;
	AUTO(fd) int lock = take_lock(root_fd, lock_path, deadline_ms, err);
	if (lock < 0)
		return -1;
	pin_read(pin, root_fd, t);
	if (!pin->start && (mirror_resolve(&pin->start, root_fd, t->repo.git_url, t->repo.branch,
					   deadline_ms, err) < 0 ||
			    pin_write(root_fd, t, pin->start, NULL, err) < 0))
		return -1;
	unlinkat(root_fd, lock_path, 0);
	return 0;
}

// A killed maker leaves its directory and its lock file; whoever can take that lock may remove
// both. Its last git may still be writing there: what cannot be removed now, the next one sweeps.
static void sweep_one(int dir_fd, const char *name, const char *mine)
{
	struct err ignored = {0};
	AUTO(free) char *key = xstrndup(name + strlen(TMP), strcspn(name + strlen(TMP), "."));
	AUTO(free) char *lock_path = xasprintf("%s.lock", key);
	const bool ours = strcmp(key, mine) == 0;
	AUTO(fd) int lock = ours ? -1 : fd_lock(dir_fd, lock_path, 1, &ignored);
	if (lock < 0 && !ours)
		return;
	if (path_remove_tree(dir_fd, name, &ignored) == 0 && !ours)
		unlinkat(dir_fd, lock_path, 0);
}

// Under the lock of MINE.
static void sweep_leftovers(int root_fd, const char *mine)
{
	int fd = openat(root_fd, DATA_BASELINES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(dir) DIR *d = fd < 0 ? NULL : fdopendir(fd);
	for (struct dirent *e; d && (e = readdir(d));)
		if (strncmp(e->d_name, TMP, strlen(TMP)) == 0)
			sweep_one(fd, e->d_name, mine);
}

static int make_in(struct build *b, const struct task *t, struct err *err)
{
	AUTO(free) char *mirror = NULL;
	struct built made;
	if (mirror_need(&mirror, b->root_fd, t->repo.git_url, b->start, b->deadline_ms, err) < 0)
		return -1;
	b->mirror = mirror;
	if (build_baseline(b, &made, err) < 0)
		return -1;
	int rc = meta_write(b, &made, err);
	free(made.commit);
	return rc;
}

// Under KEY's lock.
static int make(struct build *b, const struct task *t, const char *key, struct err *err)
{
	// A name that no maker before had, whose git may outlive it.
	AUTO(free) char *tmp = xasprintf(DATA_BASELINES "/" TMP "%s.%d-%lld", key, (int)getpid(),
					 (long long)clock_mono_ns());
	AUTO(free) char *path = xasprintf(DATA_BASELINES "/%s", key);
	if (mkdirat(b->root_fd, tmp, 0755) < 0)
		return err_set(err, ERR_INFRA, errno, "make directory %s", tmp);
	AUTO(fd) int fd = openat(b->root_fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", tmp);
	b->tmp_fd = fd;
	struct err ignored = {0};
	if (make_in(b, t, err) < 0) {
		// What cannot be removed now is swept by the next maker.
		if (path_remove_tree(b->root_fd, tmp, &ignored) < 0)
			log_debug("%s", ignored.msg);
		return -1;
	}
	if (path_sync_all(b->tmp_fd, err) < 0 || path_remove_tree(b->root_fd, path, err) < 0)
		return -1;
	if (renameat(b->root_fd, tmp, b->root_fd, path) < 0)
		return err_set(err, ERR_INFRA, errno, "rename to %s", path);
	return 0;
}

static int find_or_make(struct repo_baseline *out, struct build *b, const struct task *t,
			const char *key, struct err *err)
{
	AUTO(free) char *lock_path = xasprintf(DATA_BASELINES "/%s.lock", key);
	int rc = 0;
	if (meta_read(out, b->root_fd, key))
		return 0;
	if (path_make_dirs(b->root_fd, DATA_BASELINES, 0755, err) < 0)
		return -1;
	AUTO(fd) int lock = take_lock(b->root_fd, lock_path, b->deadline_ms, err);
	if (lock < 0)
		return -1;
	if (!meta_read(out, b->root_fd, key)) {
		sweep_leftovers(b->root_fd, key);
		rc = make(b, t, key, err);
		// A disk may have lost some of what was fetched long ago.
		if (rc < 0 && err->kind == ERR_INFRA &&
		    mirror_drop_damaged(b->root_fd, t->repo.git_url, strlen(b->start) == 64,
					b->deadline_ms))
			rc = make(b, t, key, err);
		if (rc == 0 && !meta_read(out, b->root_fd, key))
			rc = err_retry(err, 0, DATA_BASELINES "/%s: cannot be read back", key);
	}
	unlinkat(b->root_fd, lock_path, 0);
	return rc;
}

static int get_slowly(struct repo_baseline *out, int root_fd, const struct task *t,
		      const char *snapshot, const char *own_copy, int64_t deadline_ms,
		      struct pin *pin, struct err *err)
{
	char key[HASH_HEX];
	struct overlay overlay;
	// Other users read it: nothing below may depend on the caller's umask.
	AUTO(umask) mode_t old = umask(022);
	(void)old;
	if (mirror_check_url(t->repo.git_url, err) < 0 ||
	    resolve_start(pin, root_fd, t, deadline_ms, err) < 0 ||
	    overlay_open(&overlay, root_fd, snapshot, err) < 0)
		return -1;
	struct build b = {.root_fd = root_fd,
			  .tmp_fd = -1,
			  .repo = &t->repo,
			  .branch = branch_of(t),
			  .start = pin->start,
			  .overlay = &overlay,
			  .own_copy = own_copy,
			  .deadline_ms = deadline_ms};
	int rc = make_key(key, t, pin->start, &overlay, own_copy, err);
	if (rc == 0)
		rc = find_or_make(out, &b, t, key, err);
	overlay_close(&overlay);
	/* Which copy there is depends on more than the task. */
	if (rc == 0 && !own_copy && pin_write(root_fd, t, pin->start, key, err) < 0) {
		repo_baseline_release(out);
		return -1;
	}
	return rc;
}

int repo_baseline_get(struct repo_baseline *out, int root_fd, const struct task *t,
		      const char *snapshot, const char *own_copy, int64_t deadline_ms,
		      struct err *err)
{
	AUTO(pin) struct pin pin = {0};
	pin_read(&pin, root_fd, t);
	if ((!own_copy && pin.key && meta_read(out, root_fd, pin.key)) ||
	    get_slowly(out, root_fd, t, snapshot, own_copy, deadline_ms, &pin, err) == 0) {
		path_touch(root_fd, out->path);
		return 0;
	}
	// A slow network or a busy disk is nobody's mistake and may be better next time.
	if (err->kind == ERR_LIMIT) {
		err->kind = ERR_INFRA;
		err->retry = true;
	}
	return err_wrap(err, "task %s", t->id ? t->id : "?");
}

int repo_start_commit(char **out, int root_fd, const struct task *t, int64_t deadline_ms,
		      struct err *err)
{
	AUTO(pin) struct pin pin = {0};
	pin_read(&pin, root_fd, t);
	if (mirror_check_url(t->repo.git_url, err) < 0 ||
	    resolve_start(&pin, root_fd, t, deadline_ms, err) < 0)
		return -1;
	*out = STEAL(&pin.start);
	return 0;
}

void repo_baseline_release(struct repo_baseline *b)
{
	free(b->path);
	free(b->start_commit);
	free(b->baseline_commit);
	*b = (struct repo_baseline){0};
}
