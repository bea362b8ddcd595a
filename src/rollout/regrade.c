/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/regrade.h"
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "plan/label.h"
#include "store/manifest.h"
#include "store/rundir.h"

enum { REPO_INFO_MAX = 16 << 20 };

/* Tasks of which people should know the same thing. */
struct remark {
	const char *first; /* id of the first one */
	size_t n;
};

/* A task as planned against the one it is graded with: each pair is looked at once. */
struct pair {
	const char *hash;
	const struct inputs_task *task;
	struct task_change change;
};

struct matching {
	struct regrade *out;
	const struct session *s;
	char **labels; /* by entry */
	struct pair *pairs;
	size_t pairs_n, pairs_cap;
	struct remark instruction, surroundings;
	size_t graded, corrected, unmatched;
};

static struct inputs_task *task_of_entry(const struct inputs *in, size_t entry)
{
	return &in->tasks[in->entry_task[entry]];
}

/* The hash that ID has now; NULL when there is none, or several. */
static const char *present_hash(const struct inputs *in, const char *id)
{
	const char *hash = NULL;

	for (size_t i = 0; i < in->tasks_n; i++) {
		const struct task *t = &in->tasks[i].task;
		if (strcmp(t->id, id) != 0)
			continue;
		if (hash && strcmp(hash, t->hash) != 0)
			return NULL;
		hash = t->hash;
	}
	return hash;
}

/* Variants keep the names they were planned with, although their task may be another by now. */
static char **find_labels(const struct inputs *in, const struct planfile *plan)
{
	size_t n = in->bench.entries_n;
	AUTO(free) const struct task **tasks = xcalloc(n + 1, sizeof *tasks);
	AUTO(free) struct trial *old = xcalloc(plan->n + 1, sizeof *old);

	for (size_t i = 0; i < n; i++)
		tasks[i] = &task_of_entry(in, i)->task;
	for (size_t i = 0; i < plan->n; i++) {
		const char *hash = present_hash(in, plan->trials[i].task_id);
		old[i] = plan->trials[i];
		if (hash)
			old[i].task_hash = (char *)hash;
	}
	const struct plan_input input = {
		.bench = &in->bench, .tasks = tasks, .old = old, .old_n = plan->n};
	struct plan_earlier earlier;
	plan_earlier_make(&earlier, &input);
	char **labels = plan_labels(&input, &earlier);
	plan_earlier_release(&earlier);
	return labels;
}

static bool suits(const struct matching *m, size_t entry, const struct trial *t)
{
	const struct inputs *in = &m->out->in;
	const struct bench_entry *e = &in->bench.entries[entry];

	return strcmp(task_of_entry(in, entry)->task.id, t->task_id) == 0 &&
	       (strcmp(e->agent, "auto") == 0 || strcmp(e->agent, t->agent) == 0) &&
	       strv_has(&e->models, t->model) && strcmp(m->labels[entry], t->variant) == 0;
}

/* Where several folders hold tasks of one id, the same task or else the same folder is meant. */
static int rank(const struct bench_entry *e, const struct task *task, const struct trial *t)
{
	if (strcmp(task->hash, t->task_hash) == 0)
		return 3;
	return strcmp(e->prepared_dir, t->task_dir) == 0 ? 2 : 1;
}

static int match(struct matching *m, const struct trial *t, struct inputs_task **out,
		 struct err *err)
{
	const struct inputs *in = &m->out->in;
	size_t best = 0, other = 0;
	int best_rank = 0, other_rank = 0;

	for (size_t i = 0; i < in->bench.entries_n; i++) {
		const struct task *task = &task_of_entry(in, i)->task;
		int r = suits(m, i, t) ? rank(&in->bench.entries[i], task, t) : 0;
		if (r > best_rank) {
			best = i;
			best_rank = r;
		} else if (r && r == best_rank &&
			   strcmp(task->hash, task_of_entry(in, best)->task.hash) != 0) {
			other = i;
			other_rank = r;
		}
	}
	if (best_rank && best_rank == other_rank)
		return err_set(err, ERR_USAGE, 0,
			       "%s:%d:%d: grades the same trials of task %s as the [[tasks]] at "
			       "line %d: leave one of them out",
			       in->bench.config_path, in->bench.entries[other].line,
			       in->bench.entries[other].col, t->task_id,
			       in->bench.entries[best].line);
	*out = best_rank ? task_of_entry(in, best) : NULL;
	return 0;
}

static void note_other_task(struct regrade *r, const struct task_change *c, const struct trial *t)
{
	if (!r->other_task && (c->instruction || c->surroundings))
		r->other_task = xasprintf(
			"task %s: %s", t->task_id,
			c->instruction ? "its instruction"
				       : "its image, its files under /app or its variables");
}

static int compare(struct matching *m, const struct trial *t, const struct inputs_task *task,
		   const struct task_change **out, struct err *err)
{
	for (size_t i = 0; i < m->pairs_n; i++)
		if (m->pairs[i].task == task && !strcmp(m->pairs[i].hash, t->task_hash)) {
			*out = &m->pairs[i].change;
			return 0;
		}
	GROW(m->pairs, m->pairs_n, m->pairs_cap);
	struct pair *p = &m->pairs[m->pairs_n];
	*p = (struct pair){.hash = t->task_hash, .task = task};
	if (task_compare(&p->change, &task->task, m->s->store.root_fd, t->task_snapshot, err))
		return err_wrap(err, "task %s as it was at the start", t->task_id);
	m->pairs_n++;
	struct remark *r = p->change.instruction ? &m->instruction : &m->surroundings;
	if ((p->change.instruction || p->change.surroundings) && !r->n++)
		r->first = t->task_id;
	note_other_task(m->out, &p->change, t);
	*out = &p->change;
	return 0;
}

/* The commit that an agent started from, as its own record says; NULL: none does. */
static char *recorded_start(const struct session *s, const struct trial *t, int attempt)
{
	AUTO(free) char *path = datadir_attempt_file(t->run_id, attempt, ATTEMPT_REPO_INFO);
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (path_read_beneath(s->store.root_fd, path, REPO_INFO_MAX, &text, &ignored) ||
	    json_parse(&j, text.data, text.len, path, &ignored))
		return NULL;
	return xstrdup(json_get_str(j, "start_commit", NULL));
}

static int refuse(const struct inputs_task *task, const char *what, const char *why,
		  struct err *err)
{
	return err_set(err, ERR_USAGE, 0,
		       "%s: task %s: %s %s: the stored diffs cannot be graded with it, undo that "
		       "or start a new run",
		       task->source.dir, task->task.id, what, why);
}

/* A diff can be graded as long as it is applied to the very files it was made from. */
static int check_start(const struct matching *m, size_t i, const struct inputs_task *task,
		       const struct task_change *change, struct err *err)
{
	const struct trial *t = &m->s->plan.trials[i];
	const char *now = task->task.repo.start_commit;
	AUTO(free)
	char *was = change->start_commit
			    ? xstrdup(change->start_commit)
			    : recorded_start(m->s, t, m->s->progress[i].agent_committed);

	if (change->start)
		return refuse(task, change->start, "is not what the agents started from", err);
	if (was && now && strcmp(was, now) == 0)
		return 0;
	if (now || !was)
		return refuse(task, "repo.start_commit_sha",
			      was ? "is not what the agents started from" : "was not recorded",
			      err);
	return err_set(err, ERR_USAGE, 0,
		       "%s: task %s: repo.start_commit_sha is not given and the branch may have "
		       "moved; write \"%.64s\", which the agents started from",
		       task->source.dir, task->task.id, was);
}

static int take(struct matching *m, size_t i, struct err *err)
{
	const struct trial *t = &m->s->plan.trials[i];
	const struct task_change *change = NULL;
	struct inputs_task *task = NULL;

	if (match(m, t, &task, err))
		return -1;
	m->out->tasks[i] = task;
	if (!m->s->progress[i].agent_committed)
		return 0;
	m->graded += task != NULL;
	m->unmatched += !task;
	if (!task || strcmp(task->task.hash, t->task_hash) == 0)
		return 0;
	m->corrected++;
	if (compare(m, t, task, &change, err))
		return -1;
	return check_start(m, i, task, change, err);
}

static void note_remark(struct matching *m, const char *what, const struct remark *r)
{
	struct strv *notes = &m->out->notes;

	if (r->n == 1)
		strv_pushf(notes, "task %s: %s changed since; the agent had the earlier state",
			   r->first, what);
	else if (r->n)
		strv_pushf(notes,
			   "task %s and %zu more: %s changed since; the agents had the earlier "
			   "state",
			   r->first, r->n - 1, what);
}

static void make_notes(struct matching *m)
{
	struct strv *notes = &m->out->notes;

	strv_pushf(notes,
		   "grading with the tasks of %s; trials whose task changed since: %zu of %zu",
		   m->out->in.bench.config_path, m->corrected, m->graded);
	note_remark(m, "its instruction", &m->instruction);
	note_remark(m, "its files under /app or its variables", &m->surroundings);
	if (m->unmatched)
		strv_pushf(notes,
			   "left out, with the grade they have, because no task there has their "
			   "id, label, agent and model: %zu trials",
			   m->unmatched);
}

static int match_all(struct matching *m, struct err *err)
{
	for (size_t i = 0; i < m->s->plan.n; i++)
		if (take(m, i, err))
			return -1;
	if (!m->graded && m->unmatched)
		return err_set(err, ERR_USAGE, 0,
			       "--config %s: no trial of %s has a task of the same id, label, "
			       "agent and model there",
			       m->out->in.bench.config_path, m->s->ref.path);
	make_notes(m);
	return 0;
}

int regrade_load(struct regrade *out, const struct session *s, const struct config_request *req,
		 struct strv *problems, struct err *err)
{
	*out = (struct regrade){.notes = STRV_INIT};
	if (inputs_load_tasks(&out->in, req, problems, err) ||
	    inputs_check_name(&out->in, s->plan.name, err))
		return -1;
	struct matching m = {.out = out, .s = s, .labels = find_labels(&out->in, &s->plan)};
	out->tasks = xcalloc(s->plan.n + 1, sizeof *out->tasks);
	int status = match_all(&m, err);
	for (size_t i = 0; i < m.pairs_n; i++)
		task_change_release(&m.pairs[i].change);
	for (size_t i = 0; i < out->in.bench.entries_n; i++)
		free(m.labels[i]);
	free(m.labels);
	free(m.pairs);
	return status;
}

/* A row of a table is a task: all of its trials move, those of a model that the file has no more as well. */
static int move_trial(struct regrade *r, struct session *s, size_t i, bool only_look, size_t *n,
		      struct err *err)
{
	struct trial *t = &s->plan.trials[i];
	struct inputs_task *task = r->tasks[i];

	for (size_t k = 0; !task && k < r->in.tasks_n; k++)
		for (size_t other = 0; other < s->plan.n; other++)
			if (r->tasks[other] == &r->in.tasks[k] &&
			    !strcmp(s->plan.trials[other].task_id, t->task_id) &&
			    !strcmp(s->plan.trials[other].variant, t->variant))
				task = r->tasks[other];
	if (!task || !strcmp(task->task.hash, t->task_hash))
		return 0;
	if (!trial_is_moved(t)) {
		free(t->planned_hash);
		t->planned_hash = xstrdup(t->task_hash);
	}
	free(t->task_hash);
	t->task_hash = xstrdup(task->task.hash);
	++*n;
	if (only_look)
		return 0;
	if (inputs_snapshot(task, &s->store, err))
		return -1;
	free(t->task_snapshot);
	t->task_snapshot = xstrdup(task->snapshot);
	return 0;
}

int regrade_move(struct regrade *r, struct session *s, bool only_look, size_t *n, struct err *err)
{
	*n = 0;
	if (r->other_task)
		return err_set(err, ERR_USAGE, 0,
			       "%s changed since the trials here ran: grading them again does not "
			       "make them trials of the changed task; take that change back, or "
			       "start anew with `rollouts run`",
			       r->other_task);
	for (size_t i = 0; i < s->plan.n; i++)
		if (move_trial(r, s, i, only_look, n, err))
			return -1;
	return 0;
}

int regrade_commit(struct regrade *r, const struct session *s, struct err *err)
{
	for (size_t i = 0; i < s->plan.n; i++)
		if (r->tasks[i] && s->progress[i].agent_committed &&
		    inputs_snapshot(r->tasks[i], &s->store, err))
			return -1;
	return path_sync_all(s->store.root_fd, err);
}

bool regrade_asks(const struct regrade *r, size_t i)
{
	return !r || r->tasks[i];
}

size_t regrade_items(const struct session *s, const struct regrade *r, struct sched_item *items)
{
	size_t n = 0;

	for (size_t i = 0; i < s->plan.n; i++) {
		if (!s->progress[i].agent_committed || !regrade_asks(r, i))
			continue;
		struct sched_item *item = &items[n++];
		*item = (struct sched_item){
			.index = i,
			.agent_from = s->progress[i].agent_committed,
			.regrade = true,
		};
		if (r) {
			item->task_hash = r->tasks[i]->task.hash;
			item->task_snapshot = r->tasks[i]->snapshot;
		}
	}
	return n;
}

int regrade_write_manifest(const struct session *s, const struct regrade *r, const bool *ok,
			   struct err *err)
{
	AUTO(json) json_t *j = json_object();
	json_t *results = json_array();
	char now[CLOCK_STAMP + 8];

	clock_iso(clock_wall_ms(), now);
	json_put_int(j, "v", 1);
	json_put_str(j, "evaluated_at", now);
	json_put(j, "results", results);
	for (size_t i = 0; i < s->plan.n; i++) {
		if (!regrade_asks(r, i))
			continue;
		AUTO(free)
		char *dir =
			xasprintf("%s/" DATA_RUNS "/%s", s->store.root, s->plan.trials[i].run_id);
		AUTO(free) char *path = manifest_run_path(s->plan.trials[i].run_id);
		json_t *entry = json_object();
		json_put_str(entry, "run_dir", dir);
		json_put_str(entry, "run_path", path);
		json_put_str(entry, "task_dir", s->plan.trials[i].task_dir);
		json_put_str(entry, "task_hash",
			     r ? r->tasks[i]->task.hash : s->plan.trials[i].task_hash);
		json_put_int(entry, "eval_rc", !ok[i]);
		json_put_str(entry, "status", ok[i] ? "ok" : "eval_failed");
		json_array_append_new(results, entry);
	}
	return json_write(s->dir_fd, ROLLOUT_EVAL_MANIFEST, j, false, err);
}

void regrade_release(struct regrade *r)
{
	inputs_release(&r->in);
	strv_release(&r->notes);
	free(r->tasks);
	free(r->other_task);
	*r = (struct regrade){.notes = STRV_INIT};
}
