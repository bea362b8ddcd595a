/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/leftovers.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/image.h"
#include "engine/ask.h"
#include "launch/orphans.h"
#include "os/usage.h"
#include "repo/mirror.h"
#include "store/owner.h"
#include "task/task.h"

#define YOUNG_MS 3600000 /* what is newer may belong to a run that is just starting */

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static DIR *open_dir(const struct leftovers *l, const char *path)
{
	int fd = openat(l->store->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static struct leftover *add(struct leftovers *l, const char *label)
{
	GROW(l->items, l->n, l->cap);
	l->items[l->n] = (struct leftover){.label = xstrdup(label), .paths = STRV_INIT};
	return &l->items[l->n++];
}

static void add_path(struct leftovers *l, const char *path)
{
	struct leftover *i = add(l, path);
	strv_push(&i->paths, path);
	i->bytes = usage_bytes(l->store->root_fd, path);
}

/* NAME.tmp.PID.N, as path_write makes them, of a process that is gone. */
static bool is_left_over(const char *name)
{
	const char *mark = strstr(name, ".tmp.");
	char *end;

	if (!mark)
		return false;
	long pid = strtol(mark + strlen(".tmp."), &end, 10);
	if (pid <= 0 || *end != '.' || !end[1] || end[1 + strspn(end + 1, "0123456789")])
		return false;
	return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* In FOLDER itself: temporary files, and what begins with SCRATCH (NULL: nothing). */
/* TOP is "runs/RUN_ID". */
static bool run_is_busy(const struct leftovers *l, const char *top)
{
	AUTO(free) char *prefix = path_join(top, RUN_ATTEMPTS "/");

	for (size_t i = 0; i < l->busy.n; i++)
		if (strncmp(l->busy.v[i], prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

static void scan(struct leftovers *l, const char *folder, const char *scratch)
{
	AUTO(dir) DIR *d = open_dir(l, folder);

	for (struct dirent *e; d && (e = readdir(d));) {
		bool top = strcmp(folder, ".") == 0;
		AUTO(free) char *path = top ? xstrdup(e->d_name) : path_join(folder, e->d_name);
		if ((is_left_over(e->d_name) ||
		     (scratch && strncmp(e->d_name, scratch, strlen(scratch)) == 0)) &&
		    !run_is_busy(l, path))
			add_path(l, path);
	}
}

static bool is_component(const char *s)
{
	return s && s[0] && s[0] != '.' && !strchr(s, '/');
}

static void scan_run(struct leftovers *l, const char *run_id)
{
	static const char *const folders[] = {"", ATTEMPT_ARTIFACTS, ATTEMPT_LOGS};
	AUTO(free) char *top = path_join(DATA_RUNS, run_id);
	AUTO(free) char *attempts = path_join(top, RUN_ATTEMPTS);

	if (!is_component(run_id) || run_is_busy(l, top))
		return;
	scan(l, top, NULL);
	AUTO(dir) DIR *d = open_dir(l, attempts);
	for (struct dirent *e; d && (e = readdir(d));)
		for (size_t i = 0; is_component(e->d_name) && i < ARRAY_SIZE(folders); i++) {
			AUTO(free) char *attempt = path_join(attempts, e->d_name);
			AUTO(free)
			char *folder = i ? path_join(attempt, folders[i]) : xstrdup(attempt);
			scan(l, folder, i ? NULL : ATTEMPT_BOX_PREFIX);
		}
}

static void scan_rollout(struct leftovers *l, const struct rollout *r)
{
	AUTO(free) char *results = path_join(r->ref.path, ROLLOUT_RESULTS);

	scan(l, r->ref.path, NULL);
	scan(l, results, NULL);
	for (size_t i = 0; i < r->trials_n; i++)
		scan_run(l, RUN_ID(&r->trials[i]));
}

/* What was taken out of the image for its trials. */
static void use_copies(struct leftovers *l, const struct trial_shared *t)
{
	struct image image;
	struct err ignored;
	const char *path;
	json_t *key;

	if (image_read(&image, l->store->root_fd, t->image, t->image_id, &ignored))
		return;
	json_object_foreach (image.copies, path, key) {
		AUTO(free) char *copy = xasprintf(DATA_COPIES "/%s", json_string_value(key));
		json_object_set_new(l->used, copy, json_true());
	}
	image_release(&image);
}

static void use_image(struct leftovers *l, const char *key)
{
	AUTO(free) char *context = xasprintf(DATA_CONTEXTS "/%s", key);
	AUTO(free) char *record = xasprintf(DATA_IMAGES "/%s", key);

	json_object_set_new(l->used, context, json_true());
	json_object_set_new(l->used, record, json_true());
}

/* Of a Harbor task. */
static void use_verifiers(struct leftovers *l, const struct trial *t)
{
	const char *at = t->verifier_images ? t->verifier_images : "";

	for (size_t n; *at; at += n + (at[n] == ' ')) {
		n = strcspn(at, " ");
		AUTO(free) char *key = xstrndup(at, n);
		if (n > 1)
			use_image(l, key);
	}
}

/* As planned, and as graded. */
static void use_snapshots(struct leftovers *l, const struct trial_status *t)
{
	const char *hash = trial_graded_hash(t);

	json_object_set_new(l->used, t->shared->task_snapshot, json_true());
	if (*t->shared->image) {
		use_image(l, t->shared->image);
		use_verifiers(l, t->shared->setting);
		use_copies(l, t->shared);
	}
	if (*hash) {
		AUTO(free) char *path = xasprintf(DATA_TASKS "/%s", hash);
		json_object_set_new(l->used, path, json_true());
	}
}

/* Look at every rollout: any plan may need what is in the cache. NAME and STAMP (NULL: all) say in
 * which leftovers are looked for. */
static int scan_rollouts(struct leftovers *l, const char *name, const char *stamp, struct err *err)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;

	if (store_list(l->store, NULL, &refs, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct rollout r;
		struct err why;
		if (rollout_load(&r, l->store, &refs[i], &why)) {
			strv_push(&l->unreadable, why.msg);
		} else {
			l->live = l->live || r.live;
			for (size_t k = 0; k < r.trials_n; k++)
				use_snapshots(l, &r.trials[k]);
			bool asked = (!name || strcmp(name, refs[i].name) == 0) &&
				     (!stamp || strcmp(stamp, refs[i].stamp) == 0);
			if (asked && !r.live)
				scan_rollout(l, &r);
			rollout_release(&r);
		}
		rollout_ref_release(&refs[i]);
	}
	free(refs);
	return 0;
}

static bool is_young(const struct leftovers *l, const char *path)
{
	struct stat st;

	return fstatat(l->store->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 < YOUNG_MS;
}

/* "cache/tasks/HASH", of a file or folder there with whatever its name has after a point. */
static bool is_used(const struct leftovers *l, const char *path)
{
	const char *base = path_base(path);
	AUTO(free) char *stem = xstrndup(path, (size_t)(base - path) + strcspn(base, "."));

	return json_object_get(l->used, stem);
}

/* Everything in FOLDER that no plan needs and that is not new. */
static void scan_cache(struct leftovers *l, const char *folder)
{
	AUTO(dir) DIR *d = open_dir(l, folder);

	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO(free) char *path = path_join(folder, e->d_name);
		bool special = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
		/* Removing a lock under somebody who waits for it would let two in. */
		bool lock = text_glob("*.lock", e->d_name);
		if (!special && !lock && !is_young(l, path) && !is_used(l, path))
			add_path(l, path);
	}
}

static void use(struct leftovers *l, char *path_take)
{
	path_take[strlen(path_take) - strlen(strchrnul(path_base(path_take), '.'))] = '\0';
	json_object_set_new(l->used, path_take, json_true());
	free(path_take);
}

/* What the task of a used snapshot needs besides it. */
static int use_sources(struct leftovers *l, const char *snapshot, struct err *err)
{
	struct task t;

	use(l, path_join(DATA_PINS, path_base(snapshot)));
	if (!path_exists(l->store->root_fd, snapshot))
		return 0;
	if (task_load(&t, l->store->root_fd, snapshot, err))
		return err_wrap(err, "cannot tell what the cache is needed for");
	use(l, mirror_path(t.repo.git_url, false));
	use(l, mirror_path(t.repo.git_url, true));
	task_release(&t);
	return 0;
}

static int find_in_cache(struct leftovers *l, struct err *err)
{
	AUTO(strv) struct strv snapshots = STRV_INIT;
	const char *snapshot;
	json_t *value;

	/* Workers go on for a moment without their supervisor. */
	if (l->live || l->busy.n)
		return err_set(err, ERR_USAGE, 0,
			       "a benchmark is running and uses the cache; wait for it");
	if (l->unreadable.n)
		return err_set(err, ERR_USAGE, 0,
			       "what cannot be read may need the cache; mend or remove it first");
	json_object_foreach (l->used, snapshot, value)
		if (strncmp(snapshot, DATA_TASKS "/", strlen(DATA_TASKS "/")) == 0)
			strv_push(&snapshots, snapshot);
	for (size_t i = 0; i < snapshots.n; i++)
		if (use_sources(l, snapshots.v[i], err))
			return -1;
	scan_cache(l, DATA_TASKS);
	scan_cache(l, DATA_PINS);
	scan_cache(l, DATA_MIRRORS);
	/* Made again from the mirrors when somebody needs them. */
	scan_cache(l, DATA_BASELINES);
	scan_cache(l, DATA_CONTEXTS);
	scan_cache(l, DATA_IMAGES);
	scan_cache(l, DATA_COPIES);
	scan_cache(l, DATA_PREFLIGHT);
	scan_cache(l, DATA_ETC);
	scan_cache(l, DATA_PARCELS);
	scan_cache(l, DATA_DATASETS);
	return 0;
}

static int add_runs(struct leftovers *l, const struct rollout *r, struct err *err)
{
	AUTO(free) char *label = xasprintf("%s with %zu run%s", r->ref.path, r->trials_n,
					   r->trials_n == 1 ? "" : "s");
	struct leftover *i = add(l, label);

	for (size_t k = 0; k < r->trials_n; k++) {
		const char *id = RUN_ID(&r->trials[k]);
		AUTO(free) char *run = path_join(DATA_RUNS, id);
		if (!is_component(id) || strncmp(id, r->ref.stamp, strlen(r->ref.stamp)) != 0)
			return err_set(err, ERR_USAGE, 0,
				       "%s/" ROLLOUT_PLAN " names a run \"%s\" that is not its own",
				       r->ref.path, id);
		if (run_is_busy(l, run))
			return err_set(err, ERR_USAGE, 0, "%s still has a worker; wait for it",
				       run);
		strv_push(&i->paths, run);
	}
	strv_pushf(&i->paths, DATA_TEMP "/rollout_%s__%s.json", r->ref.name, r->ref.stamp);
	/* Last: as long as the plan is there, an interrupted removal can be repeated. */
	strv_push(&i->paths, r->ref.path);
	i->name_folder = path_join(DATA_ROLLOUTS, r->ref.name);
	for (size_t k = 0; k < i->paths.n; k++)
		i->bytes += usage_bytes(l->store->root_fd, i->paths.v[k]);
	return 0;
}

/* From here on nobody goes on with it. */
static int claim(struct leftovers *l, const struct rollout_ref *ref, struct err *err)
{
	AUTO(free) char *path = path_join(ref->path, ROLLOUT_JOURNAL);
	AUTO(fd) int fd = openat(l->store->root_fd, path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s/%s", l->store->root, path);
	if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
		return err_set(err, ERR_USAGE, 0, "%s %s is running; interrupt it first", ref->name,
			       ref->stamp);
	l->claimed = fd_steal(&fd) + 1;
	return 0;
}

static int find_runs(struct leftovers *l, const char *name, const char *stamp, struct err *err)
{
	struct rollout_ref ref = {0};
	struct rollout r;

	if (!stamp)
		return err_set(err, ERR_USAGE, 0,
			       "--runs removes results: name the rollout as NAME/STAMP");
	if (store_find(l->store, name, stamp, &ref, err))
		return -1;
	int status = strcmp(ref.stamp, stamp) == 0
			     ? claim(l, &ref, err)
			     : err_set(err, ERR_USAGE, 0,
				       "--runs removes results: give the whole stamp, %s/%s", name,
				       ref.stamp);
	if (!status)
		status = rollout_load(&r, l->store, &ref, err);
	rollout_ref_release(&ref);
	if (status)
		return -1;
	if (r.strangers)
		status = owner_refuse(name, stamp, r.strangers, r.stranger, err);
	else
		status = add_runs(l, &r, err);
	rollout_release(&r);
	return status;
}

int leftovers_find(struct leftovers *l, const struct store *s, const struct leftovers_request *q,
		   struct err *err)
{
	struct rollout_ref known = {0};

	*l = (struct leftovers){.store = s, .used = json_object()};
	if (q->name && store_find(s, q->name, q->stamp, &known, err))
		return -1;
	rollout_ref_release(&known);
	/* Workers outlive a killed supervisor for a moment. */
	if (orphans_list(&l->busy, s->root_fd, err))
		return -1;
	if (q->runs)
		return find_runs(l, q->name, q->stamp, err);
	if (scan_rollouts(l, q->name, q->stamp, err))
		return -1;
	if (!q->name) {
		scan(l, ".", DATA_DOCTOR_PREFIX);
		scan(l, DATA_TEMP, NULL);
		scan(l, DATA_RUNS, DATA_PREFLIGHT_PREFIX);
	}
	return q->cache ? find_in_cache(l, err) : 0;
}

int leftovers_remove(const struct leftovers *l, const struct leftover *i, struct err *err)
{
	const int root_fd = l->store->root_fd;

	for (size_t k = 0; k < i->paths.n; k++) {
		AUTO(free) char *gone = NULL;
		/* Of a rollout's folder no part may be left while it has its name: somebody would go on with that. */
		if (i->name_folder && k == i->paths.n - 1)
			gone = xasprintf(DATA_TEMP "/%s.tmp.%d.0", path_base(i->paths.v[k]),
					 (int)getpid());
		if (gone && (path_make_dirs(root_fd, DATA_TEMP, 0755, err) ||
			     (renameat(root_fd, i->paths.v[k], root_fd, gone) &&
			      err_set(err, ERR_INFRA, errno, "rename %s", i->paths.v[k]))))
			return -1;
		if (path_remove_tree(root_fd, gone ? gone : i->paths.v[k], err))
			return -1;
	}
	/* The folder of a name whose last rollout this was. */
	if (i->name_folder)
		(void)unlinkat(l->store->root_fd, i->name_folder, AT_REMOVEDIR);
	return 0;
}

void leftovers_forget_images(const struct leftovers *l)
{
	static const char folder[] = DATA_IMAGES "/";
	AUTO(strv) struct strv args = STRV_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	struct err err;

	strv_push(&args, "forget");
	for (size_t i = 0; i < l->n; i++) {
		const char *path = l->items[i].label;
		if (strncmp(path, folder, strlen(folder)) == 0 && text_glob("*.json", path))
			strv_pushf(&args, "%.*s", HASH_HEX - 1, path + strlen(folder));
	}
	if (args.n > 1 && engine_ask(strv_items(&args), l->store->root_fd, &out, &err))
		log_debug("%s", err.msg);
}

static int ask_for_lines(const char *const *args, int root_fd, struct strv *out, struct err *err)
{
	AUTO(buf) struct buf said = BUF_INIT;
	char *save = NULL;

	if (engine_ask(args, root_fd, &said, err))
		return -1;
	for (char *name = strtok_r(said.data, "\n", &save); name;
	     name = strtok_r(NULL, "\n", &save))
		strv_push(out, name);
	return 0;
}

int leftovers_prune_engine(const struct leftovers *l, struct strv *containers, struct strv *images,
			   bool dry_run, struct err *err)
{
	const char *const all[] = {"prune", "-", dry_run ? "--dry-run" : NULL, NULL};
	AUTO(strv) struct strv args = STRV_INIT;
	const char *path;
	json_t *value;

	strv_push(&args, "orphans");
	if (dry_run)
		strv_push(&args, "--dry-run");
	json_object_foreach (l->used, path, value)
		if (!strncmp(path, DATA_IMAGES "/", strlen(DATA_IMAGES "/")))
			strv_push(&args, path + strlen(DATA_IMAGES "/"));
	return ask_for_lines(all, l->store->root_fd, containers, err) ||
			       ask_for_lines(strv_items(&args), l->store->root_fd, images, err)
		       ? -1
		       : 0;
}

void leftovers_prune_containers(struct strv *out, const struct store *s, bool dry_run)
{
	AUTO(free) char *root = realpath(s->root, NULL);
	char data[HASH_HEX];
	struct err err;

	if (!root || !path_exists(s->root_fd, DATA_IMAGES))
		return;
	hash_once(root, strlen(root), data);
	const char *const args[] = {"prune", data, dry_run ? "--dry-run" : NULL, NULL};
	if (ask_for_lines(args, s->root_fd, out, &err))
		log_debug("%s", err.msg);
}

void leftovers_release(struct leftovers *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].label);
		free(l->items[i].name_folder);
		strv_release(&l->items[i].paths);
	}
	free(l->items);
	json_decref(l->used);
	strv_release(&l->busy);
	strv_release(&l->unreadable);
	if (l->claimed)
		close(l->claimed - 1);
	*l = (struct leftovers){0};
}
