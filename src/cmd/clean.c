/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/options.h"
#include "core/datadir.h"
#include "engine/ask.h"
#include "launch/orphans.h"
#include "os/cgroup.h"
#include "os/usage.h"
#include "repo/mirror.h"
#include "store/store.h"
#include "task/task.h"

#define YOUNG_MS 3600000 /* what is newer may belong to a run that is just starting */

struct item {
	char *label; /* for people, below the data folder */
	struct strv paths;
	char *name_folder; /* to be removed as well when empty, or NULL */
	int64_t bytes;
};

struct cleaning {
	const struct store *store;
	bool dry_run;
	bool live, unreadable; /* some rollout is */
	json_t *used;	       /* in the cache, by some plan: path -> true */
	struct strv busy;      /* attempt folders with a living worker */
	struct item *items;
	size_t n, cap;
};

struct request {
	const char *data;
	bool dry_run, cache, runs;
};

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static DIR *open_dir(const struct cleaning *c, const char *path)
{
	int fd = openat(c->store->root_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		close(fd);
	return d;
}

static struct item *add(struct cleaning *c, const char *label)
{
	GROW(c->items, c->n, c->cap);
	c->items[c->n] = (struct item){.label = xstrdup(label), .paths = STRV_INIT};
	return &c->items[c->n++];
}

static void add_path(struct cleaning *c, const char *path)
{
	struct item *i = add(c, path);
	strv_push(&i->paths, path);
	i->bytes = usage_bytes(c->store->root_fd, path);
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
static void scan(struct cleaning *c, const char *folder, const char *scratch)
{
	AUTO(dir) DIR *d = open_dir(c, folder);

	for (struct dirent *e; d && (e = readdir(d));) {
		bool top = strcmp(folder, ".") == 0;
		AUTO(free) char *path = top ? xstrdup(e->d_name) : path_join(folder, e->d_name);
		if (is_left_over(e->d_name) ||
		    (scratch && strncmp(e->d_name, scratch, strlen(scratch)) == 0))
			add_path(c, path);
	}
}

static bool is_component(const char *s)
{
	return s && s[0] && s[0] != '.' && !strchr(s, '/');
}

/* TOP is "runs/RUN_ID". */
static bool run_is_busy(const struct cleaning *c, const char *top)
{
	AUTO(free) char *prefix = path_join(top, RUN_ATTEMPTS "/");

	for (size_t i = 0; i < c->busy.n; i++)
		if (strncmp(c->busy.v[i], prefix, strlen(prefix)) == 0)
			return true;
	return false;
}

static void scan_run(struct cleaning *c, const char *run_id)
{
	static const char *const folders[] = {"", ATTEMPT_ARTIFACTS, ATTEMPT_LOGS};
	AUTO(free) char *top = path_join(DATA_RUNS, run_id);
	AUTO(free) char *attempts = path_join(top, RUN_ATTEMPTS);

	if (!is_component(run_id) || run_is_busy(c, top))
		return;
	scan(c, top, NULL);
	AUTO(dir) DIR *d = open_dir(c, attempts);
	for (struct dirent *e; d && (e = readdir(d));)
		for (size_t i = 0; is_component(e->d_name) && i < ARRAY_SIZE(folders); i++) {
			AUTO(free) char *attempt = path_join(attempts, e->d_name);
			AUTO(free)
			char *folder = i ? path_join(attempt, folders[i]) : xstrdup(attempt);
			scan(c, folder, i ? NULL : ATTEMPT_BOX_PREFIX);
		}
}

static void scan_rollout(struct cleaning *c, const struct rollout *r)
{
	AUTO(free) char *results = path_join(r->ref.path, ROLLOUT_RESULTS);

	scan(c, r->ref.path, NULL);
	scan(c, results, NULL);
	for (size_t i = 0; i < r->trials_n; i++)
		scan_run(c, r->trials[i].trial.run_id);
}

/* Look at every rollout: any plan may need what is in the cache. NAME and STAMP (NULL: all) say in
 * which leftovers are looked for. */
/* As planned, and as graded. */
static void use_snapshots(struct cleaning *c, const struct trial_status *t)
{
	const char *hash = t->has_result ? t->result.task_hash : "";

	json_object_set_new(c->used, t->trial.task_snapshot, json_true());
	if (*t->trial.image) {
		AUTO(free) char *context = xasprintf(DATA_CONTEXTS "/%s", t->trial.image);
		AUTO(free) char *record = xasprintf(DATA_IMAGES "/%s", t->trial.image);
		json_object_set_new(c->used, context, json_true());
		json_object_set_new(c->used, record, json_true());
	}
	if (*hash) {
		AUTO(free) char *path = xasprintf(DATA_TASKS "/%s", hash);
		json_object_set_new(c->used, path, json_true());
	}
}

static int scan_rollouts(struct cleaning *c, const char *name, const char *stamp, struct err *err)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;

	if (store_list(c->store, NULL, &refs, &n, err))
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct rollout r;
		struct err why;
		if (rollout_load(&r, c->store, &refs[i], &why)) {
			cmd_warn(&why);
			c->unreadable = true;
		} else {
			c->live = c->live || r.live;
			for (size_t k = 0; k < r.trials_n; k++)
				use_snapshots(c, &r.trials[k]);
			bool asked = (!name || strcmp(name, refs[i].name) == 0) &&
				     (!stamp || strcmp(stamp, refs[i].stamp) == 0);
			if (asked && !r.live)
				scan_rollout(c, &r);
			rollout_release(&r);
		}
		rollout_ref_release(&refs[i]);
	}
	free(refs);
	return 0;
}

static bool is_young(const struct cleaning *c, const char *path)
{
	struct stat st;

	return fstatat(c->store->root_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       clock_wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 < YOUNG_MS;
}

/* "cache/tasks/HASH", of a file or folder there with whatever its name has after a point. */
static bool is_used(const struct cleaning *c, const char *path)
{
	const char *base = path_base(path);
	AUTO(free) char *stem = xstrndup(path, (size_t)(base - path) + strcspn(base, "."));

	return json_object_get(c->used, stem);
}

/* Everything in FOLDER that no plan needs and that is not new. */
static void scan_cache(struct cleaning *c, const char *folder)
{
	AUTO(dir) DIR *d = open_dir(c, folder);

	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO(free) char *path = path_join(folder, e->d_name);
		bool special = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
		/* Removing a lock under somebody who waits for it would let two in. */
		bool lock = text_glob("*.lock", e->d_name);
		if (!special && !lock && !is_young(c, path) && !is_used(c, path))
			add_path(c, path);
	}
}

static void use(struct cleaning *c, char *path_take)
{
	path_take[strlen(path_take) - strlen(strchrnul(path_base(path_take), '.'))] = '\0';
	json_object_set_new(c->used, path_take, json_true());
	free(path_take);
}

/* What the task of a used snapshot needs besides it. */
static int use_sources(struct cleaning *c, const char *snapshot, struct err *err)
{
	struct task t;

	use(c, path_join(DATA_PINS, path_base(snapshot)));
	if (!path_exists(c->store->root_fd, snapshot))
		return 0;
	if (task_load(&t, c->store->root_fd, snapshot, err))
		return err_wrap(err, "cannot tell what the cache is needed for");
	use(c, mirror_path(t.repo.git_url, false));
	use(c, mirror_path(t.repo.git_url, true));
	task_release(&t);
	return 0;
}

static int clean_cache(struct cleaning *c, struct err *err)
{
	AUTO(strv) struct strv snapshots = STRV_INIT;
	const char *snapshot;
	json_t *value;

	if (c->live)
		return err_set(err, ERR_USAGE, 0,
			       "a benchmark is running and uses the cache; wait for it");
	if (c->unreadable)
		return err_set(err, ERR_USAGE, 0,
			       "what cannot be read may need the cache; mend or remove it first");
	json_object_foreach (c->used, snapshot, value)
		if (strncmp(snapshot, DATA_TASKS "/", strlen(DATA_TASKS "/")) == 0)
			strv_push(&snapshots, snapshot);
	for (size_t i = 0; i < snapshots.n; i++)
		if (use_sources(c, snapshots.v[i], err))
			return -1;
	scan_cache(c, DATA_TASKS);
	scan_cache(c, DATA_PINS);
	scan_cache(c, DATA_MIRRORS);
	/* Made again from the mirrors when somebody needs them. */
	scan_cache(c, DATA_BASELINES);
	scan_cache(c, DATA_CONTEXTS);
	scan_cache(c, DATA_IMAGES);
	return 0;
}

static int add_runs(struct cleaning *c, const struct rollout *r, struct err *err)
{
	AUTO(free) char *label = xasprintf("%s with %zu runs", r->ref.path, r->trials_n);
	struct item *i = add(c, label);

	for (size_t k = 0; k < r->trials_n; k++) {
		const char *id = r->trials[k].trial.run_id;
		AUTO(free) char *run = path_join(DATA_RUNS, id);
		if (!is_component(id) || strncmp(id, r->ref.stamp, strlen(r->ref.stamp)) != 0)
			return err_set(err, ERR_USAGE, 0,
				       "%s/" ROLLOUT_PLAN " names a run \"%s\" that is not its own",
				       r->ref.path, id);
		if (run_is_busy(c, run))
			return err_set(err, ERR_USAGE, 0, "%s still has a worker; wait for it",
				       run);
		strv_push(&i->paths, run);
	}
	strv_pushf(&i->paths, DATA_TEMP "/rollout_%s__%s.json", r->ref.name, r->ref.stamp);
	/* Last: as long as the plan is there, an interrupted removal can be repeated. */
	strv_push(&i->paths, r->ref.path);
	i->name_folder = path_join(DATA_ROLLOUTS, r->ref.name);
	for (size_t k = 0; k < i->paths.n; k++)
		i->bytes += usage_bytes(c->store->root_fd, i->paths.v[k]);
	return 0;
}

static int clean_runs(struct cleaning *c, const char *name, const char *stamp, struct err *err)
{
	struct rollout_ref ref = {0};
	struct rollout r;

	if (!stamp)
		return err_set(err, ERR_USAGE, 0,
			       "--runs removes results: name the rollout as NAME/STAMP");
	if (store_find(c->store, name, stamp, &ref, err))
		return -1;
	int status = strcmp(ref.stamp, stamp) == 0
			     ? rollout_load(&r, c->store, &ref, err)
			     : err_set(err, ERR_USAGE, 0,
				       "--runs removes results: give the whole stamp, %s/%s", name,
				       ref.stamp);
	rollout_ref_release(&ref);
	if (status)
		return -1;
	status = r.live ? err_set(err, ERR_USAGE, 0, "%s %s is running; interrupt it first", name,
				  stamp)
			: add_runs(c, &r, err);
	rollout_release(&r);
	return status;
}

/* Of the records that go, the images go as well. Without an engine there is nothing to be asked. */
static void forget_images(const struct cleaning *c)
{
	static const char folder[] = DATA_IMAGES "/";
	AUTO(strv) struct strv args = STRV_INIT;
	AUTO(buf) struct buf out = BUF_INIT;
	struct err err;

	strv_push(&args, "forget");
	for (size_t i = 0; i < c->n; i++) {
		const char *path = c->items[i].label;
		if (strncmp(path, folder, strlen(folder)) == 0 && text_glob("*.json", path))
			strv_pushf(&args, "%.*s", HASH_HEX - 1, path + strlen(folder));
	}
	if (args.n > 1 && engine_ask(strv_items(&args), c->store->root_fd, &out, &err))
		log_debug("%s", err.msg);
}

/* Containers that killed workers of this data root left. Each has a line; they take no room to speak of. */
static size_t clean_containers(const struct cleaning *c)
{
	AUTO(free) char *root = realpath(c->store->root, NULL);
	AUTO(buf) struct buf out = BUF_INIT;
	char data[HASH_HEX];
	size_t n = 0;
	char *save = NULL;
	struct err err;

	if (!root || !path_exists(c->store->root_fd, DATA_IMAGES))
		return 0;
	hash_once(root, strlen(root), data);
	const char *const args[] = {"prune", data, c->dry_run ? "--dry-run" : NULL, NULL};
	if (engine_ask(args, c->store->root_fd, &out, &err)) {
		log_debug("%s", err.msg);
		return 0;
	}
	for (char *name = strtok_r(out.data, "\n", &save); name;
	     name = strtok_r(NULL, "\n", &save), n++)
		printf("%s container %s\n", c->dry_run ? "would remove" : "removed", name);
	return n;
}

static int remove_item(const struct cleaning *c, const struct item *i, struct err *err)
{
	for (size_t k = 0; k < i->paths.n; k++)
		if (path_remove_tree(c->store->root_fd, i->paths.v[k], err))
			return -1;
	/* The folder of a name whose last rollout this was. */
	if (i->name_folder)
		(void)unlinkat(c->store->root_fd, i->name_folder, AT_REMOVEDIR);
	return 0;
}

static int finish(const struct cleaning *c, struct err *err)
{
	int64_t bytes = 0;
	char human[16];
	const size_t containers = clean_containers(c);

	if (!c->dry_run)
		forget_images(c);
	for (size_t i = 0; i < c->n; i++) {
		AUTO(buf) struct buf safe = BUF_INIT;
		if (!c->dry_run && remove_item(c, &c->items[i], err))
			return -1;
		text_renders(&safe, c->items[i].label, TEXT_TERMINAL_LINE);
		usage_human(c->items[i].bytes, human);
		printf("%s %s/%s (%s)\n", c->dry_run ? "would remove" : "removed", c->store->root,
		       safe.data, human);
		bytes += c->items[i].bytes;
	}
	usage_human(bytes, human);
	if (c->n)
		printf("%s %s in all\n", human, c->dry_run ? "would be freed" : "freed");
	else if (!containers)
		puts("nothing to remove");
	return 0;
}

static int clean(struct cleaning *c, const struct request *q, const char *name, const char *stamp,
		 struct err *err)
{
	struct rollout_ref known = {0};

	if (name && store_find(c->store, name, stamp, &known, err))
		return -1;
	rollout_ref_release(&known);
	/* Workers outlive a killed supervisor for a moment. */
	if (orphans_list(&c->busy, c->store->root_fd, err))
		return -1;
	if (q->runs)
		return clean_runs(c, name, stamp, err) ? -1 : finish(c, err);
	if (scan_rollouts(c, name, stamp, err))
		return -1;
	if (!c->dry_run)
		cgroup_sweep(); /* these hold nothing, and need no line */
	if (!name) {
		scan(c, ".", DATA_DOCTOR_PREFIX);
		scan(c, DATA_TEMP, NULL);
	}
	if (q->cache && clean_cache(c, err))
		return -1;
	return finish(c, err);
}

static void release(struct cleaning *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->items[i].label);
		free(c->items[i].name_folder);
		strv_release(&c->items[i].paths);
	}
	free(c->items);
	json_decref(c->used);
	strv_release(&c->busy);
}

int cmd_clean(int argc, char **argv)
{
	struct request q = {.data = "data"};
	const struct option options[] = {
		{.name = "dry-run",
		 .short_name = 'n',
		 .kind = OPTION_FLAG,
		 .target = &q.dry_run,
		 .help = "only say what would be removed"},
		{.name = "cache",
		 .kind = OPTION_FLAG,
		 .target = &q.cache,
		 .help = "also tasks and mirrors no rollout needs, and baselines"},
		{.name = "runs",
		 .kind = OPTION_FLAG,
		 .target = &q.runs,
		 .help = "remove the rollout NAME/STAMP with all its runs and results"},
		OPTION_DATA_DIR(&q.data),
		OPTION_END,
	};
	const struct usage usage = {
		.verb = "clean",
		.operands = "[NAME | NAME/STAMP]",
		.max = 1,
		.options = options,
		.summary = "remove what killed runs left behind; on request the cache, or whole "
			   "rollouts",
		.text = "Without --runs no result is ever touched, and never anything of a running "
			"benchmark.",
		.examples = "rollouts clean --dry-run\nrollouts clean --cache\n"
			    "rollouts clean --runs hello/20250824__12-34-56\n",
	};
	AUTO(strv) struct strv operands = STRV_INIT;
	struct store store;
	struct err err;
	int status = cmd_options(&usage, argc, argv, &operands);

	if (status >= 0)
		return status;
	AUTO(free) char *name = operands.n ? xstrdup(operands.v[0]) : NULL;
	char *stamp = name ? strchr(name, '/') : NULL;
	if (stamp)
		*stamp++ = '\0';
	if (store_open(&store, q.data, false, &err))
		return cmd_fail(&err);
	struct cleaning c = {.store = &store, .dry_run = q.dry_run, .used = json_object()};
	status = clean(&c, &q, name, stamp, &err);
	release(&c);
	store_close(&store);
	return status ? cmd_fail(&err) : CMD_OK;
}
