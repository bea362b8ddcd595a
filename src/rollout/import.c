/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/tag.h"
#include "rollout/import-internal.h"
#include "store/create.h"
#include "store/journal.h"
#include "store/manifest.h"
#include "store/owner.h"
#include "store/progress.h"

/* Whatever somebody called a job or a data set, as the name of a benchmark. */
static char *name_of(const struct import *m)
{
	const char *from = m->q->name ? m->q->name : m->job.dataset ? m->job.dataset : m->job.name;
	char *name = xstrdup(from);

	if (m->q->name)
		return name;
	for (char *at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && !strchr("._-@+", *at))
			*at = '-';
	if (store_name_is_valid(name))
		return name;
	free(name);
	return xstrdup("harbor");
}

/* Another state of the job, one that went on meanwhile, has another. */
static void digest_job(const struct harbor_job *job, char out[HASH_HEX])
{
	struct hash h;
	char number[64];

	hash_init(&h);
	for (size_t i = 0; i < job->n; i++) {
		const struct harbor_job_trial *t = &job->v[i];
		snprintf(number, sizeof number, "%lld %lld", (long long)t->began_ms,
			 (long long)t->ended_ms);
		hash_str(&h, t->folder);
		hash_str(&h, t->digest);
		hash_str(&h, t->exception);
		hash_str(&h, number);
		AUTO(free) char *rewards =
			t->rewards ? json_dumps(t->rewards, JSON_SORT_KEYS) : NULL;
		hash_str(&h, rewards);
	}
	hash_hex(&h, out);
}

/* Whether another of the same task, agent and model has other options: then they tell the two apart. */
static bool needs_variant(const struct harbor_job *job, const struct harbor_job_trial *t)
{
	for (size_t i = 0; i < job->n; i++)
		if (!strcmp(job->v[i].agent, t->agent) && !strcmp(job->v[i].model, t->model) &&
		    strcmp(job->v[i].options, t->options) != 0)
			return true;
	return false;
}

static void name_trial(struct trial *t)
{
	char number[24];
	struct hash h;

	snprintf(number, sizeof number, "%d", t->rollout);
	hash_init(&h);
	hash_str(&h, t->task_hash);
	hash_str(&h, t->variant);
	hash_str(&h, t->agent);
	hash_str(&h, t->model);
	hash_str(&h, number);
	hash_hex(&h, t->key);
}

static bool is_same_condition(const struct harbor_job_trial *a, const struct harbor_job_trial *b)
{
	return !strcmp(a->task, b->task) && !strcmp(a->agent, b->agent) &&
	       !strcmp(a->model, b->model) && !strcmp(a->options, b->options);
}

/* What a task of Harbor's was changes nothing of which task it is: its checksum goes into the hash of the task. */
static void add_trials(struct import *m)
{
	const struct harbor_job *job = &m->job;
	struct planfile *p = &m->plan;

	p->trials = xcalloc(job->n, sizeof *p->trials);
	for (size_t i = 0; i < job->n; i++) {
		const struct harbor_job_trial *t = &job->v[i];
		const bool again = i && is_same_condition(&job->v[i - 1], t);
		struct trial *trial = &p->trials[p->n++];
		*trial = (struct trial){
			.index = (int)i,
			.run_id = xasprintf("%s-%zu", p->stamp, i),
			.task_dir = xstrdup(t->path),
			.task_id = xstrdup(t->task),
			.task_hash = xstrdup(t->digest),
			.planned_hash = xstrdup(""),
			.task_snapshot = xstrdup(""),
			.repository = xstrdup(""),
			.cluster = xstrdup(""),
			.variant = xstrdup(needs_variant(job, t) ? t->options : ""),
			.agent = xstrdup(t->agent),
			.model = xstrdup(t->model),
			.provider = xstrdup(""),
			.api = xstrdup(""),
			.model_id = xstrdup(t->model),
			.rollout = again ? p->trials[i - 1].rollout + 1 : 0,
			.seed = -1,
			.options = model_options_default,
			.sandbox = SANDBOX_DOCKER,
			.image = xstrdup(""),
			.image_id = xstrdup(""),
			.repo_path = xstrdup(""),
			.launcher = xstrdup("local"),
			.verifier_images = xstrdup(""),
			.reward = xstrdup(m->q->reward ? m->q->reward : ""),
			.contract = xstrdup("harbor"),
			.limits = limits_default,
			.evaluate = true,
		};
		name_trial(trial);
		if (json_object_get(p->agents, trial->agent))
			continue;
		json_put(p->agents, trial->agent,
			 json_pack("{s:s, s:s, s:s}", "needs", "nothing", "name", trial->agent,
				   "kind", "imported"));
	}
}

static void make_plan(struct import *m, const char *digest)
{
	char id[OWNER_ID];

	owner_new_id(id);
	m->plan = (struct planfile){
		.id = xstrdup(id),
		.imported = json_pack("{s:s, s:s, s:s, s:s, s:s}", "format", "harbor", "job",
				      m->job.name, "id", m->job.id, "version", m->job.version,
				      "digest", digest),
		.name = xstrdup(m->ref.name),
		.stamp = xstrdup(m->ref.stamp),
		.config = xasprintf("the Harbor job %s", m->job.name),
		.config_hash = xstrdup(digest),
		.program = install_build(),
		.parallel = 1,
		.build_timeout_sec = 3600,
		.agents = json_object(),
		.judge = judge_default,
	};
	add_trials(m);
}

/* A line of the journal, of the time at which it happened. */
struct moment {
	int64_t ms;
	size_t i; /* of lines of one time the first that was made is the first */
	json_t *line;
};

struct moments {
	struct moment *v;
	size_t n, cap;
};

static json_t *add_moment(struct moments *all, int64_t ms, const char *event, const struct trial *t)
{
	json_t *line = json_object();

	json_put_int(line, "v", JOURNAL_VERSION);
	json_put_int(line, "seq", 0);
	json_put_int(line, "wall", ms);
	json_put_int(line, "mono", ms);
	json_put_str(line, "host", "harbor");
	json_put_str(line, "event", event);
	if (t) {
		json_put_str(line, "trial", t->key);
		json_put_str(line, "run", t->run_id);
		json_put_int(line, "attempt", 1);
		json_put_int(line, "step", 0);
	}
	GROW(all->v, all->n, all->cap);
	all->v[all->n] = (struct moment){ms, all->n, line};
	all->n++;
	return line;
}

static int by_time(const void *a, const void *b)
{
	const struct moment *x = a, *y = b;

	return x->ms != y->ms ? (x->ms > y->ms ? 1 : -1) : x->i > y->i ? 1 : -1;
}

static void count(struct imported *out, const struct result *r)
{
	if (outcome_is_missing(r->outcome))
		out->missing++;
	else if (r->scored)
		out->scored++;
	else
		out->unscored++;
}

/* What happened to trial I, and its folder. */
static int import_trial(struct import *m, size_t i, struct moments *all, struct imported *out,
			struct err *err)
{
	const struct harbor_job_trial *t = &m->job.v[i];
	const int64_t from = t->began_ms > 0 ? t->began_ms : m->job.began_ms;
	const int64_t to = t->ended_ms > from ? t->ended_ms : from;
	struct result r;

	import_result(m, i, &r);
	add_moment(all, from, EVENT_STARTED, &m->plan.trials[i]);
	if (r.has_agent)
		add_moment(all, to, EVENT_AGENT_DONE, &m->plan.trials[i]);
	AUTO(json) json_t *result = result_to_json(&r);
	AUTO(json) json_t *fields = progress_finished(r.outcome, result);
	json_object_update(add_moment(all, to, EVENT_FINISHED, &m->plan.trials[i]), fields);
	count(out, &r);
	int status = import_folder(m, i, &r, err);
	result_release(&r);
	return status ? err_wrap(err, "%s", t->folder) : 0;
}

static int write_journal(struct moments *all, int dir_fd, struct err *err)
{
	struct journal *j = NULL;
	struct err ignored;

	qsort(all->v, all->n, sizeof *all->v, by_time);
	if (journal_open(&j, dir_fd, err))
		return -1;
	for (size_t i = 0; i < all->n; i++)
		journal_add_line(j, all->v[i].line);
	int status = journal_flush(j, err);
	return journal_close(j, status ? &ignored : err) || status ? -1 : 0;
}

struct deriving {
	struct manifest manifest;
	struct err *err;
	bool failed;
};

static void derive_result(void *arg, size_t i, const json_t *line)
{
	struct deriving *d = arg;
	const json_t *result = json_object_get(line, "result");

	if (result && !d->failed)
		d->failed = manifest_task_result(&d->manifest, i, result, d->err);
}

/* What is derived of the plan and the journal; the plan comes last: a folder without one is no rollout. */
static int write_plan(struct import *m, int dir_fd, bool complete, struct err *err)
{
	AUTO(free) char *config = xasprintf("# Imported from the Harbor job %s.\n", m->job.name);
	struct trial_progress *progress = xcalloc(m->plan.n + 1, sizeof *progress);
	struct journal_stats stats;
	struct deriving d = {.manifest = {&m->store, &m->ref, &m->plan, progress, dir_fd},
			     .err = err};
	int status = path_write(dir_fd, ROLLOUT_CONFIG, config, strlen(config), 0644, false, err) ||
				     manifest_begin(&d.manifest, err) ||
				     progress_read(progress, m->plan.trials, m->plan.n, dir_fd,
						   JOURNAL_ALL, derive_result, &d, &stats, err) ||
				     d.failed
			     ? -1
			     : 0;
	if (!status)
		status = planfile_write(&m->plan, dir_fd, err) ||
					 manifest_write(&d.manifest,
							complete ? "complete" : "incomplete", err)
				 ? -1
				 : 0;
	for (size_t i = 0; i < m->plan.n; i++)
		progress_release(&progress[i]);
	free(progress);
	return status;
}

static int write_all(struct import *m, int dir_fd, struct imported *out, struct err *err)
{
	struct moments all = {0};
	json_t *planned = add_moment(&all, 0, EVENT_PLANNED, NULL);
	int status = 0;

	all.v[0].ms = INT64_MIN;
	json_put_int(planned, "wall", m->job.began_ms);
	json_put_int(planned, "mono", m->job.began_ms);
	json_put_str(planned, "rollout_id", m->plan.id);
	json_put_int(planned, "from", 0);
	json_put_int(planned, "trials", (int64_t)m->plan.n);
	json_put_str(planned, "config_hash", m->plan.config_hash);
	json_put_str(planned, "config", ROLLOUT_CONFIG);
	for (size_t i = 0; !status && i < m->plan.n; i++) {
		status = import_trial(m, i, &all, out, err);
		out->tasks += !i || strcmp(m->job.v[i - 1].task, m->job.v[i].task) != 0;
	}
	out->trials = m->plan.n;
	if (!status)
		status = write_journal(&all, dir_fd, err) ||
					 write_plan(m, dir_fd, !out->missing, err)
				 ? -1
				 : 0;
	for (size_t i = 0; i < all.n; i++)
		json_decref(all.v[i].line);
	free(all.v);
	return status;
}

static void undo(struct import *m)
{
	struct err ignored;

	for (size_t i = 0; i < m->plan.n; i++) {
		AUTO(free) char *run = path_join(DATA_RUNS, m->plan.trials[i].run_id);
		if (path_remove_tree(m->store.root_fd, run, &ignored))
			break;
	}
	if (!path_remove_tree(m->store.root_fd, m->ref.path, &ignored))
		create_undo(&m->store, &m->ref);
	rollout_ref_release(&m->ref);
}

/* The rollout that this job is already, or an earlier state of it, which is a line in NOTES. */
static int find_known(struct import *m, const char *digest, struct imported *out,
		      struct strv *notes, struct err *err)
{
	struct rollout_ref *refs = NULL;
	size_t n = 0;
	int status = store_list(&m->store, NULL, &refs, &n, err);

	for (size_t i = 0; i < n; i++) {
		AUTO(planfile) struct planfile head = {0};
		struct err ignored;
		AUTO(fd)
		int fd = path_open_beneath(m->store.root_fd, refs[i].path, O_RDONLY | O_DIRECTORY,
					   0, &ignored);
		const bool read = fd >= 0 && !planfile_read_head(&head, fd, refs[i].path, &ignored);
		const char *id = read ? json_get_str(head.imported, "id", "") : "";
		if (read && !out->known &&
		    !strcmp(json_get_str(head.imported, "digest", ""), digest)) {
			out->known = true;
			out->ref = refs[i];
			continue;
		}
		if (*id && !strcmp(id, m->job.id))
			strv_pushf(notes,
				   "an earlier state of this job is here as %s %s: it is another "
				   "rollout, and stays",
				   refs[i].name, refs[i].stamp);
		rollout_ref_release(&refs[i]);
	}
	free(refs);
	return status;
}

static void tell(const struct import *m, struct strv *notes)
{
	if (m->means)
		strv_pushf(
			notes,
			"%zu of them have rewards without the key \"reward\": their score is the "
			"mean of all (--score KEY takes one)",
			m->means);
	if (m->outside)
		strv_pushf(notes,
			   "rewards that are no score (outside of 0..1, or without the key): %zu; "
			   "they are kept, and their trials unscored",
			   m->outside);
	if (m->job.never_started > 0)
		strv_pushf(notes,
			   "%lld trials of the job were never begun: Harbor kept nothing of "
			   "them, and they are not among these",
			   (long long)m->job.never_started);
	if (m->left_out)
		strv_pushf(notes,
			   "links, special files and what is beyond 1 GB of a trial were not "
			   "copied: %zu",
			   m->left_out);
}

static int write_rollout(struct import *m, const char *digest, struct imported *out,
			 struct strv *notes, struct err *err)
{
	AUTO(free) char *name = name_of(m);
	AUTO(strv) struct strv tags = STRV_INIT;
	char stamp[CLOCK_STAMP];
	struct err ignored;

	clock_stamp(m->job.began_ms > 0 ? m->job.began_ms : clock_wall_ms(), stamp);
	if (create_rollout_as(&m->store, name, stamp, &m->ref, err))
		return -1;
	make_plan(m, digest);
	AUTO(fd)
	int fd = path_open_beneath(m->store.root_fd, m->ref.path, O_RDONLY | O_DIRECTORY, 0, err);
	int status = fd < 0 ? -1 : write_all(m, fd, out, err);
	if (!status && !tag_check(m->job.name, &ignored)) {
		strv_push(&tags, m->job.name);
		status = store_tags_write(&m->store, &m->ref, &tags, err);
	}
	if (status) {
		undo(m);
		return -1;
	}
	tell(m, notes);
	out->ref = m->ref;
	m->ref = (struct rollout_ref){0};
	return 0;
}

static int open_job(struct import *m, struct err *err)
{
	AUTO(free) char *path = xstrdup(m->q->path);

	for (size_t n = strlen(path); n > 1 && path[n - 1] == '/'; n--)
		path[n - 1] = '\0';
	m->job_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->job_fd < 0)
		return err_set(err, ERR_USAGE, errno, "open the folder %s of a Harbor job", path);
	if (harbor_job_read(&m->job, m->job_fd, path, err))
		return -1;
	char *real = path_of_fd(m->job_fd);
	free(m->job.name);
	m->job.name = xstrdup(path_base(*real ? real : path));
	free(real);
	return 0;
}

int import_harbor(struct imported *out, const struct import_request *q, struct strv *notes,
		  struct err *err)
{
	struct import m = {.q = q, .job_fd = -1, .store.root_fd = -1};
	char digest[HASH_HEX];

	*out = (struct imported){0};
	int status = open_job(&m, err) || store_open(&m.store, q->data_dir, true, err) ||
				     store_use_cache(&m.store, err)
			     ? -1
			     : 0;
	if (!status) {
		digest_job(&m.job, digest);
		status = find_known(&m, digest, out, notes, err);
	}
	if (!status && !out->known)
		status = write_rollout(&m, digest, out, notes, err);
	planfile_release(&m.plan);
	harbor_job_release(&m.job);
	auto_fd(&m.job_fd);
	if (m.store.root)
		store_close(&m.store);
	return status;
}
