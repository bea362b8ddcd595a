/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "rollout/merge-internal.h"
#include "store/create.h"
#include "store/journal.h"
#include "store/manifest.h"
#include "store/rundir.h"

enum { DOCUMENT_MAX = 64 << 20 };

static void auto_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int copy(const struct merge *m, int from_fd, const char *from, int to_fd, const char *to,
		struct err *err)
{
	return m->share ? path_share_tree(from_fd, from, to_fd, to, err)
			: path_copy_tree(from_fd, from, to_fd, to, err);
}

static DIR *open_dir(int dir_fd, const char *path)
{
	struct err ignored;
	int fd = path_open_beneath(dir_fd, path, O_RDONLY | O_DIRECTORY, 0, &ignored);

	return fd < 0 ? NULL : fdopendir(fd);
}

/* What lies in FOLDER of PART's data folder as well, and here not yet. */
static int copy_missing(const struct merge *m, const struct merge_part *part, const char *folder,
			struct err *err)
{
	AUTO(dir) DIR *d = open_dir(part->store->root_fd, folder);

	for (struct dirent *e; d && (e = readdir(d));) {
		AUTO(free) char *path = path_join(folder, e->d_name);
		if (e->d_name[0] == '.' || path_exists(m->store.root_fd, path))
			continue;
		if (copy(m, part->store->root_fd, path, m->store.root_fd, path, err))
			return -1;
	}
	return 0;
}

static int copy_cached(const struct merge *m, const struct merge_part *part, const char *path,
		       struct err *err)
{
	AUTO(free) char *folder = xstrndup(path, (size_t)(path_base(path) - path - 1));

	if (path_exists(m->store.root_fd, path) || !path_exists(part->store->root_fd, path))
		return 0;
	return path_make_dirs(m->store.root_fd, folder, 0755, err) ||
			       copy(m, part->store->root_fd, path, m->store.root_fd, path, err)
		       ? -1
		       : 0;
}

/* What later gradings and trials are made from: the tasks as they were, what they were resolved to, contexts of images. */
static int copy_tasks(const struct merge *m, const struct merge_part *part, struct err *err)
{
	for (size_t i = 0; i < part->plan.n; i++) {
		const struct trial *t = &part->plan.trials[i];
		const char *hash = path_base(t->task_snapshot);
		AUTO(free) char *snapshot = path_join(DATA_TASKS, hash);
		AUTO(free) char *pin = xasprintf(DATA_PINS "/%s.json", hash);
		AUTO(free) char *context = path_join(DATA_CONTEXTS, t->image);
		if (*hash &&
		    (copy_cached(m, part, snapshot, err) || copy_cached(m, part, pin, err)))
			return -1;
		if (*t->image && copy_cached(m, part, context, err))
			return -1;
		for (size_t k = 0; k < trial_verifier_images(t); k++) {
			char key[HASH_HEX];
			trial_verifier_image(t, k, key);
			AUTO(free) char *verifier = path_join(DATA_CONTEXTS, key);
			if (strlen(key) > 1 && copy_cached(m, part, verifier, err))
				return -1;
		}
	}
	return 0;
}

/* Members "run_id" of the document, and of "trial" in it. */
static int rename_in(int dir_fd, const char *path, const char *run_id, bool pretty, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;

	if (!path_exists(dir_fd, path))
		return 0;
	if (path_read_beneath(dir_fd, path, DOCUMENT_MAX, &text, err) ||
	    json_parse(&j, text.data, text.len, path, err))
		return -1;
	if (json_object_get(j, "run_id"))
		json_put_str(j, "run_id", run_id);
	json_t *trial = json_object_get(j, "trial");
	if (trial)
		json_put_str(trial, "run_id", run_id);
	buf_reset(&text);
	json_format(&text, j, pretty);
	buf_addc(&text, '\n');
	return path_write(dir_fd, path, text.data, text.len, 0644, false, err);
}

static int rename_run(int root_fd, const char *run_id, struct err *err)
{
	AUTO(free) char *top = xasprintf(DATA_RUNS "/%s/" RUN_ATTEMPTS, run_id);
	AUTO(dir) DIR *d = open_dir(root_fd, top);

	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		AUTO(fd)
		int fd = path_open_beneath(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY, 0, err);
		if (fd < 0 || rename_in(fd, ATTEMPT_TRIAL, run_id, false, err) ||
		    rename_in(fd, ATTEMPT_RESULT, run_id, true, err) ||
		    rename_in(fd, ATTEMPT_EVALUATION, run_id, true, err))
			return err_wrap(err, "%s/%s", top, e->d_name);
	}
	return 0;
}

/* As it was there. A copy that followed links has folders in their places. */
static int lead_to_latest(const struct merge *m, const struct merge_part *part, const char *old,
			  const char *new, struct err *err)
{
	int attempt = rundir_latest(part->store->root_fd, old);

	return attempt ? rundir_lead_to(m->store.root_fd, new, attempt, err) : 0;
}

static int copy_run(const struct merge *m, const struct merge_part *part, const char *old,
		    const char *new, struct err *err)
{
	AUTO(free) char *from = path_join(DATA_RUNS, old);
	AUTO(free) char *to = path_join(DATA_RUNS, new);

	if (!path_exists(part->store->root_fd, from))
		return 0;
	/* A claim of ours, or what a merge that was killed had copied: no plan names it. */
	if (path_remove_tree(m->store.root_fd, to, err) ||
	    copy(m, part->store->root_fd, from, m->store.root_fd, to, err) ||
	    lead_to_latest(m, part, old, new, err))
		return -1;
	return strcmp(old, new) ? rename_run(m->store.root_fd, new, err) : 0;
}

/* Trial I of PART becomes number I + SHIFT of INTO. */
static int copy_runs(const struct merge *m, struct merge_part *part, const char *stamp,
		     size_t shift, struct err *err)
{
	for (size_t i = 0; i < part->plan.n; i++) {
		struct trial *t = &part->plan.trials[i];
		AUTO(free) char *id = xasprintf("%s-%zu", stamp, i + shift);
		if (copy_run(m, part, t->run_id, id, err))
			return -1;
	}
	return 0;
}

/* What PART's lines are made into. */
struct retelling {
	const struct merge_part *part;
	struct journal *to;
	const char *stamp;
	size_t shift;
	bool costs;	/* lines of what was spent are kept */
	bool told;	/* of a journal: PART's lines are in it already */
	char *host;	/* that PART ran on first */
	const char *id; /* looked for */
};

static void retell(void *arg, const json_t *line)
{
	struct retelling *r = arg;
	const struct planfile *plan = &r->part->plan;
	const char *run = json_get_str(line, "run", NULL), *event = json_get_str(line, "event", "");
	const char *dash = run ? strrchr(run, '-') : NULL;
	size_t i = dash ? strtoul(dash + 1, NULL, 10) : plan->n;

	if (!r->host)
		r->host = xstrdup(json_get_str(line, "host", ""));
	if (!r->costs && !strcmp(event, EVENT_SPENT))
		return;
	AUTO(json) json_t *own = json_copy((json_t *)line);
	if (i < plan->n && !strcmp(plan->trials[i].run_id, run)) {
		AUTO(free) char *id = xasprintf("%s-%zu", r->stamp, i + r->shift);
		json_t *result = json_object_get(own, "result");
		json_put_str(own, "run", id);
		if (result) {
			json_put(own, "result", result = json_copy(result));
			json_put_str(result, "run_id", id);
		}
	}
	if (!strcmp(event, EVENT_PLANNED))
		json_put_int(own, "from", json_get_int(line, "from", 0) + (int64_t)r->shift);
	journal_add_line(r->to, own);
}

static void look_for_told(void *arg, const json_t *line)
{
	struct retelling *r = arg;

	r->told |= !strcmp(json_get_str(line, "event", ""), EVENT_SPENT) &&
		   !strcmp(json_get_str(line, "merged", ""), r->id);
}

/* excluded.jsonl names run folders. */
static int copy_exclusions(const struct merge_part *part, int dir_fd, const char *stamp,
			   size_t shift, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT, out = BUF_INIT;

	if (!path_exists(part->dir_fd, ROLLOUT_EXCLUDED))
		return 0;
	if (path_read(part->dir_fd, ROLLOUT_EXCLUDED, DOCUMENT_MAX, &text, err) ||
	    (path_exists(dir_fd, ROLLOUT_EXCLUDED) &&
	     path_read(dir_fd, ROLLOUT_EXCLUDED, DOCUMENT_MAX, &out, err)))
		return -1;
	char *rest = text.data;
	for (char *line; (line = strsep(&rest, "\n"));) {
		AUTO(json) json_t *j = json_loads(line, 0, NULL);
		const char *dash = strrchr(json_get_str(j, "run", ""), '-');
		if (!dash)
			continue;
		AUTO(free) char *id =
			xasprintf("%s-%zu", stamp, strtoul(dash + 1, NULL, 10) + shift);
		json_put_str(j, "run", id);
		json_format(&out, j, false);
		buf_addc(&out, '\n');
	}
	return path_write(dir_fd, ROLLOUT_EXCLUDED, out.data, out.len, 0644, false, err);
}

/* What people say of it; of two words for one thing the one that is here stays. */
static int add_notes(const struct merge *m, const struct merge_part *part,
		     const struct rollout_ref *into, struct err *err)
{
	AUTO(json) json_t *theirs = NULL;
	AUTO(json) json_t *own = NULL;

	if (store_notes_read(part->store, &part->ref, &theirs, err) ||
	    store_notes_read(&m->store, into, &own, err))
		return -1;
	if (!json_object_get(theirs, "title") && !json_object_get(theirs, "tags"))
		return 0;
	json_object_update_missing(own, theirs);
	json_object_update_missing(json_object_get(own, "tags"), json_object_get(theirs, "tags"));
	return store_notes_write(&m->store, into, own, err);
}

static int add_tags(const struct merge *m, const struct merge_part *part,
		    const struct rollout_ref *into, struct err *err)
{
	AUTO(strv) struct strv tags = STRV_INIT, own = STRV_INIT;

	if (store_tags_read(part->store, &part->ref, &tags, err) ||
	    store_tags_read(&m->store, into, &own, err))
		return -1;
	size_t before = own.n;
	for (size_t i = 0; i < tags.n; i++)
		if (!strv_has(&own, tags.v[i]))
			strv_push(&own, tags.v[i]);
	if (own.n > before && store_tags_write(&m->store, into, &own, err))
		return -1;
	return add_notes(m, part, into, err);
}

/* What is written for this rollout and not derived from its plan and its journal. */
static bool is_kept(const char *name)
{
	return !strncmp(name, "config", strlen("config")) || !strcmp(name, ROLLOUT_EVAL_MANIFEST) ||
	       !strcmp(name, ROLLOUT_GATEWAY_LOG) || !strcmp(name, ROLLOUT_CHANGES);
}

static int copy_kept(const struct merge *m, const struct merge_part *part, int dir_fd,
		     struct err *err)
{
	AUTO(dir) DIR *d = open_dir(part->dir_fd, ".");

	for (struct dirent *e; d && (e = readdir(d));)
		if (is_kept(e->d_name) && !path_exists(dir_fd, e->d_name) &&
		    copy(m, part->dir_fd, e->d_name, dir_fd, e->d_name, err))
			return -1;
	return 0;
}

struct deriving {
	struct manifest manifest;
	struct err *err;
	bool failed;
};

static void write_result(void *arg, size_t i, const json_t *line)
{
	struct deriving *d = arg;
	const json_t *result = json_object_get(line, "result");

	if (!d->failed && result)
		d->failed = manifest_task_result(&d->manifest, i, result, d->err);
}

/* Make what is derived from the plan and the journal in DIR_FD. */
static int derive(const struct merge *m, const struct rollout_ref *ref, int dir_fd, struct err *err)
{
	AUTO(planfile) struct planfile plan = {0};
	struct journal_stats stats;
	bool complete = true;

	if (planfile_read(&plan, dir_fd, ref->path, err))
		return -1;
	struct trial_progress *progress = xcalloc(plan.n + 1, sizeof *progress);
	struct deriving d = {.manifest = {&m->store, ref, &plan, progress, dir_fd}, .err = err};
	int status = manifest_begin(&d.manifest, err) ||
				     progress_read(progress, plan.trials, plan.n, dir_fd,
						   JOURNAL_ALL, write_result, &d, &stats, err) ||
				     d.failed
			     ? -1
			     : 0;
	for (size_t i = 0; i < plan.n; i++)
		complete &= progress_has_result(&progress[i]);
	if (!status)
		status = manifest_write(&d.manifest, complete ? "complete" : "incomplete", err);
	for (size_t i = 0; i < plan.n; i++)
		progress_release(&progress[i]);
	free(progress);
	return status;
}

static json_t *note_of(const struct merge_part *part, const char *host, size_t from)
{
	struct stat st;
	json_t *j = json_object();

	json_put_str(j, "rollout_id", part->plan.id);
	json_put_str(j, "stamp", part->plan.stamp);
	json_put_str(j, "host", host ? host : "");
	json_put_int(j, "from", (int64_t)from);
	json_put_int(j, "trials", (int64_t)part->plan.n);
	json_put_int(j, "journal_bytes",
		     fstatat(part->dir_fd, ROLLOUT_JOURNAL, &st, AT_SYMLINK_NOFOLLOW) ? 0
										      : st.st_size);
	return j;
}

/* Every line of PART goes into the journal in DIR_FD, whose rollout had spent SPENT before; NULL: it is new. */
static int retell_journal(struct retelling *r, int dir_fd, const struct journal_stats *before,
			  struct err *err)
{
	struct journal_stats stats;
	struct err ignored;
	const struct merge_part *part = r->part;
	struct trial_progress *unused = xcalloc(part->plan.n + 1, sizeof *unused);
	int status = progress_read(unused, part->plan.trials, part->plan.n, part->dir_fd,
				   JOURNAL_PROGRESS, NULL, NULL, &stats, err);

	for (size_t i = 0; i < part->plan.n; i++)
		progress_release(&unused[i]);
	free(unused);
	if (status || journal_open(&r->to, dir_fd, err))
		return -1;
	journal_continue(r->to, before ? before->last_seq : 0);
	struct journal_stats read;
	status = journal_read(part->dir_fd, JOURNAL_ALL, retell, r, &read, err);
	if (!status && before) {
		json_t *spent = json_object();
		json_put_int(spent, "calls", before->cost.calls + stats.cost.calls);
		json_put_int(spent, "tokens", before->cost.tokens + stats.cost.tokens);
		json_put_real(spent, "usd", before->cost.usd + stats.cost.usd);
		json_put_int(spent, "unpriced_calls",
			     before->cost.unpriced_calls + stats.cost.unpriced_calls);
		json_put_str(spent, "merged", part->plan.id ? part->plan.id : part->plan.stamp);
		journal_add(r->to, EVENT_SPENT, NULL, 0, spent);
	}
	return journal_close(r->to, status ? &ignored : err) || status ? -1 : 0;
}

static void renumber(struct planfile *p, size_t from, const char *stamp)
{
	for (size_t i = from; i < p->n; i++) {
		p->trials[i].index = (int)i;
		free(p->trials[i].run_id);
		p->trials[i].run_id = xasprintf("%s-%zu", stamp, i);
	}
}

static int write_taken(const struct merge *m, struct merge_part *part,
		       const struct rollout_ref *ref, int dir_fd, struct err *err)
{
	struct planfile *p = &part->plan;
	bool renamed = strcmp(p->stamp, ref->stamp) != 0;
	AUTO(free) char *host = NULL;

	if (copy_kept(m, part, dir_fd, err) || copy_exclusions(part, dir_fd, ref->stamp, 0, err) ||
	    add_tags(m, part, ref, err))
		return -1;
	/* Under other names of runs they would speak of nobody. */
	if (!renamed && path_exists(part->dir_fd, ROLLOUT_EVALUATIONS) &&
	    !path_exists(dir_fd, ROLLOUT_EVALUATIONS) &&
	    copy(m, part->dir_fd, ROLLOUT_EVALUATIONS, dir_fd, ROLLOUT_EVALUATIONS, err))
		return -1;
	if (renamed) {
		struct retelling r = {.part = part, .stamp = ref->stamp, .costs = true};
		if (retell_journal(&r, dir_fd, NULL, err))
			return -1;
		host = r.host;
		if (!p->merged)
			p->merged = json_array();
		json_array_append_new(p->merged, note_of(part, host, 0));
		free(p->stamp);
		p->stamp = xstrdup(ref->stamp);
		renumber(p, 0, p->stamp);
	} else if (path_exists(part->dir_fd, ROLLOUT_JOURNAL) &&
		   path_copy_tree(part->dir_fd, ROLLOUT_JOURNAL, dir_fd, ROLLOUT_JOURNAL, err)) {
		return -1;
	}
	return planfile_write(p, dir_fd, err) || derive(m, ref, dir_fd, err) ? -1 : 0;
}

int merge_take(const struct merge *m, struct merge_part *part, struct rollout_ref *into,
	       struct err *err)
{
	struct rollout_ref ref;
	struct err ignored;

	if (create_rollout_as(&m->store, part->ref.name, part->plan.stamp, &ref, err))
		return -1;
	AUTO(fd)
	int fd = path_open_beneath(m->store.root_fd, ref.path, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd >= 0 && !copy_tasks(m, part, err) && !copy_runs(m, part, ref.stamp, 0, err) &&
	    !write_taken(m, part, &ref, fd, err)) {
		*into = ref;
		return 0;
	}
	/* Until its plan is there it is nobody's. */
	for (size_t i = 0; i < part->plan.n; i++) {
		AUTO(free) char *run = xasprintf(DATA_RUNS "/%s-%zu", ref.stamp, i);
		if (path_remove_tree(m->store.root_fd, run, &ignored))
			break;
	}
	if (path_remove_tree(m->store.root_fd, ref.path, &ignored))
		err_wrap(err, "%s is left half made", ref.path);
	rollout_ref_release(&ref);
	return -1;
}

static int keep_configs(const struct merge_part *part, int dir_fd, struct err *err)
{
	for (int i = 1;; i++) {
		AUTO(free) char *name =
			i == 1 ? xstrdup(ROLLOUT_CONFIG) : xasprintf("config-%d.toml", i);
		AUTO(free) char *kept = NULL;
		AUTO(buf) struct buf text = BUF_INIT;
		if (!path_exists(part->dir_fd, name))
			return 0;
		if (path_read(part->dir_fd, name, PLANFILE_CONFIG_MAX, &text, err) ||
		    planfile_keep_config(dir_fd, text.data, &kept, err))
			return -1;
	}
}

/* The trials of PART go behind those of P. */
static void append_trials(struct planfile *p, struct merge_part *part, const char *host)
{
	struct planfile *from = &part->plan;
	const char *name;
	json_t *spec;
	size_t before = p->n;

	if (!p->merged)
		p->merged = json_array();
	json_array_append_new(p->merged, note_of(part, host, before));
	json_object_foreach (from->agents, name, spec)
		if (!json_object_get(p->agents, name))
			json_object_set(p->agents, name, spec);
	p->trials = xreallocarray(p->trials, before + from->n + 1, sizeof *p->trials);
	memcpy(p->trials + before, from->trials, from->n * sizeof *p->trials);
	p->n += from->n;
	from->n = 0;
	renumber(p, before, p->stamp);
}

static int read_own(struct planfile *p, struct journal_stats *stats, struct retelling *r,
		    int dir_fd, const struct rollout_ref *into, struct err *err)
{
	struct journal_stats ignored;

	if (planfile_read(p, dir_fd, into->path, err))
		return -1;
	if (journal_is_live(dir_fd))
		return err_set(err, ERR_USAGE, 0, "%s is running: wait for it, or interrupt it",
			       into->path);
	struct trial_progress *progress = xcalloc(p->n + 1, sizeof *progress);
	int status = progress_read(progress, p->trials, p->n, dir_fd, JOURNAL_PROGRESS, NULL, NULL,
				   stats, err);
	for (size_t i = 0; i < p->n; i++)
		progress_release(&progress[i]);
	free(progress);
	return status || journal_read(dir_fd, JOURNAL_PROGRESS, look_for_told, r, &ignored, err)
		       ? -1
		       : 0;
}

int merge_join(const struct merge *m, struct merge_part *part, const struct rollout_ref *into,
	       struct err *err)
{
	AUTO(planfile) struct planfile p = {0};
	struct journal_stats before;
	struct retelling r = {.part = part,
			      .stamp = into->stamp,
			      .id = part->plan.id ? part->plan.id : part->plan.stamp};
	AUTO(fd)
	int fd = path_open_beneath(m->store.root_fd, into->path, O_RDONLY | O_DIRECTORY, 0, err);

	if (fd < 0 || read_own(&p, &before, &r, fd, into, err))
		return -1;
	r.shift = p.n;
	if (copy_tasks(m, part, err) || copy_runs(m, part, p.stamp, p.n, err) ||
	    keep_configs(part, fd, err) || copy_exclusions(part, fd, p.stamp, p.n, err) ||
	    add_tags(m, part, into, err))
		return -1;
	/* The plan comes last. A merge that was killed before that is done again, and its lines stand there already. */
	int status = r.told ? 0 : retell_journal(&r, fd, &before, err);
	if (!status)
		append_trials(&p, part, r.host);
	free(r.host);
	return status || planfile_write(&p, fd, err) || derive(m, into, fd, err) ? -1 : 0;
}

int merge_grow(const struct merge *m, struct merge_part *part, const struct rollout_ref *into,
	       struct err *err)
{
	AUTO(fd)
	int fd = path_open_beneath(m->store.root_fd, into->path, O_RDONLY | O_DIRECTORY, 0, err);

	if (fd < 0 || copy_tasks(m, part, err))
		return -1;
	for (size_t i = 0; i < part->plan.n; i++) {
		const char *run = part->plan.trials[i].run_id;
		AUTO(free) char *folder = path_join(DATA_RUNS, run);
		AUTO(free) char *attempts = path_join(folder, RUN_ATTEMPTS);
		if (path_exists(m->store.root_fd, folder)
			    ? copy_missing(m, part, attempts, err) ||
				      copy_missing(m, part, folder, err) ||
				      lead_to_latest(m, part, run, run, err)
			    : copy_run(m, part, run, run, err))
			return -1;
	}
	if (keep_configs(part, fd, err) || add_tags(m, part, into, err) ||
	    path_copy_tree(part->dir_fd, ROLLOUT_JOURNAL, fd, ROLLOUT_JOURNAL ".new", err))
		return -1;
	if (renameat(fd, ROLLOUT_JOURNAL ".new", fd, ROLLOUT_JOURNAL))
		return err_set(err, ERR_INFRA, errno, "rename " ROLLOUT_JOURNAL);
	return planfile_write(&part->plan, fd, err) || derive(m, into, fd, err) ? -1 : 0;
}
