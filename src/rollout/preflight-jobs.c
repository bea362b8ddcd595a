/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/preflight-jobs.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "rollout/recover.h"
#include "sched/interrupt.h"
#include "store/rundir.h"

enum {
	TURN_MS = 200,	  /* how long a display waits for a sign of life */
	GRACE_MS = 10000, /* as sched has it */
	DOCUMENT_MAX = 16 << 20,
	LOG_MAX = 1 << 20,
	PROBE_MS = 60000,
};

struct slot {
	struct preflight_job *job; /* NULL: free */
	struct attempt attempt;	   /* borrows from the job's trial but for its run_id */
	int64_t deadline_ms;
};

/* The jobs of one launcher. */
struct pool {
	struct session *s;
	const struct listener *l;
	const char *name; /* as trials have it */
	const struct launcher *launcher;
	struct launch *launch;
	struct slot *slots;
	size_t parallel, running;
	int signal_fd;
	enum interrupt_level level;
};

static void describe(const struct pool *p, struct preflight_job *job, struct attempt *a)
{
	*a = (struct attempt){.trial = *job->trial,
			      .number = 1,
			      .preflight = !job->whole,
			      .watch_network = true,
			      .bench = p->s->plan.name,
			      .tools = p->s->plan.tools};
	/* Hidden: what people and programs find in this folder are trials. */
	a->trial.run_id = job->number ? xasprintf(DATA_PREFLIGHT_PREFIX "%s.%d", job->trial->run_id,
						  job->number)
				      : xasprintf(DATA_PREFLIGHT_PREFIX "%s", job->trial->run_id);
	a->trial.agent = (char *)(job->whole ? job->agent : job->gold ? "oracle" : "nop");
	a->agent_spec = (json_t *)job->spec;
	if (job->whole)
		a->trial.limits.timeout_ms = PROBE_MS;
	a->trial.model = a->trial.provider = a->trial.api = a->trial.model_id = (char *)"";
	a->trial.task_hash = (char *)job->task_hash;
	a->trial.task_snapshot = (char *)job->task_snapshot;
	a->trial.evaluate = !job->ungraded;
}

static void remove_folder(const struct pool *p, const char *run_id)
{
	AUTO(free) char *run = path_join(DATA_RUNS, run_id);
	AUTO(free) char *dir = datadir_attempt(run_id, 1);
	int root = p->s->store.root_fd;
	struct err err;

	if (!path_exists(root, run))
		return;
	recover_sweep(root, dir);
	if (path_remove_tree(root, run, &err))
		log_warn("%s", err.msg);
}

static void release(struct pool *p, struct slot *slot)
{
	remove_folder(p, slot->attempt.trial.run_id);
	free(slot->attempt.trial.run_id);
	*slot = (struct slot){0};
	p->running--;
}

static int submit(struct pool *p, size_t id, struct err *err)
{
	struct slot *slot = &p->slots[id];
	AUTO(free) char *dir = datadir_attempt(slot->attempt.trial.run_id, 1);
	const struct launch_job job = {.id = id, .dir = dir, .limits = &slot->attempt.trial.limits};

	p->launcher->place(p->launch, &slot->attempt);
	return rundir_make(p->s->store.root_fd, &slot->attempt, err) ||
	       p->launcher->submit(p->launch, &job, err);
}

static int start(struct pool *p, struct preflight_job *job, struct err *err)
{
	size_t id = 0;

	while (p->slots[id].job)
		id++;
	struct slot *slot = &p->slots[id];
	slot->job = job;
	describe(p, job, &slot->attempt);
	if (p->launcher->first_line_ms)
		slot->deadline_ms = clock_mono_ms() + p->launcher->first_line_ms;
	p->running++;
	/* What a supervisor that was killed left. */
	remove_folder(p, slot->attempt.trial.run_id);
	if (!submit(p, id, err))
		return 0;
	release(p, slot);
	return -1;
}

static void read_line(struct slot *slot, const struct launch_event *e)
{
	AUTO(json) json_t *j = NULL;
	struct err ignored;

	if (json_parse(&j, e->line, e->len, "event", &ignored) ||
	    strcmp(json_get_str(j, "event", ""), EVENT_PHASE) != 0)
		return;
	int64_t within = json_get_int(j, "deadline_ms", 0);
	slot->deadline_ms = within > 0 ? clock_mono_ms() + within + clock_grace_ms(GRACE_MS) : 0;
}

static void collect(const struct pool *p, const struct slot *slot)
{
	const struct trial *t = &slot->attempt.trial;
	AUTO(free) char *path = datadir_attempt_file(t->run_id, 1, ATTEMPT_EVALUATION);
	AUTO(buf) struct buf text = BUF_INIT;
	struct rundir_left left;
	struct err ignored;

	if (slot->job->whole) {
		AUTO(free) char *printed = datadir_attempt_file(t->run_id, 1, ATTEMPT_AGENT_LOG);
		AUTO(buf) struct buf log = BUF_INIT;
		if (!path_read_beneath(p->s->store.root_fd, printed, LOG_MAX, &log, &ignored) &&
		    log.len)
			slot->job->log = buf_detach(&log);
	}
	rundir_look(p->s->store.root_fd, &p->s->plan, t, 1, &left);
	slot->job->result = left.result;
	if (!path_read_beneath(p->s->store.root_fd, path, DOCUMENT_MAX, &text, &ignored) &&
	    json_parse(&slot->job->evaluation, text.data, text.len, path, &ignored))
		slot->job->evaluation = NULL;
}

static void on_event(void *arg, const struct launch_event *e)
{
	struct pool *p = arg;
	struct slot *slot = &p->slots[e->id];

	if (e->kind == LAUNCH_LINE) {
		read_line(slot, e);
	} else if (e->kind == LAUNCH_ENDED) {
		collect(p, slot);
		release(p, slot);
	}
}

static void cancel_all(const struct pool *p, enum launch_cancel how)
{
	for (size_t i = 0; i < p->parallel; i++)
		if (p->slots[i].job)
			p->launcher->cancel(p->launch, i, how);
}

static void take_interrupts(struct pool *p)
{
	enum interrupt_level before = p->level;

	p->level = interrupt_read(p->signal_fd, before);
	if (p->level > before)
		cancel_all(p, p->level > INTERRUPT_DRAIN ? LAUNCH_KILL : LAUNCH_STOP);
}

static void enforce_deadlines(const struct pool *p)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < p->parallel; i++)
		if (p->slots[i].job && p->slots[i].deadline_ms && p->slots[i].deadline_ms < now)
			p->launcher->cancel(p->launch, i, LAUNCH_KILL);
}

static void turn(struct pool *p)
{
	AUTO(free) struct pollfd *fds = xcalloc(1 + LAUNCH_FDS * p->parallel, sizeof *fds);
	size_t n = p->launcher->watch(p->launch, fds + 1);

	fds[0] = (struct pollfd){.fd = p->signal_fd, .events = POLLIN};
	int ready = poll(fds, n + 1, TURN_MS);
	if (ready > 0 && fds[0].revents)
		take_interrupts(p);
	if (ready >= 0)
		p->launcher->poll(p->launch, fds + 1, on_event, p);
	enforce_deadlines(p);
	listener_tell(p->l, &(struct listener_event){.kind = LISTENER_TURN, .left_ms = -1});
}

static bool may_start(const struct pool *p, const struct preflight_job *job)
{
	return !p->level && p->running < p->parallel &&
	       (!p->launcher->fits || p->launcher->fits(p->launch, &job->trial->limits));
}

/* Those of JOBS that name this launcher. */
static int drive(struct pool *p, struct preflight_job *jobs, size_t n, struct err *err)
{
	int rc = 0;

	for (size_t next = 0; (!rc && !p->level && next < n) || p->running;) {
		while (!rc && next < n &&
		       (strcmp(jobs[next].trial->launcher, p->name) != 0 ||
			may_start(p, &jobs[next]))) {
			if (!strcmp(jobs[next].trial->launcher, p->name))
				rc = start(p, &jobs[next], err);
			next++;
		}
		if (p->running)
			turn(p);
	}
	if (!rc && p->level)
		rc = err_set(err, ERR_CANCELLED, 0, "interrupted before any trial was started");
	return rc;
}

static int run_launcher(struct pool *p, struct preflight_job *jobs, size_t n, struct err *err)
{
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	const struct launch_spec spec = {.name = p->name,
					 .settings = json_object_get(p->s->plan.launchers, p->name),
					 .root_fd = p->s->store.root_fd,
					 .worker = worker,
					 .parallel = p->parallel,
					 .uid_base = p->s->plan.uid_base};

	if (p->launcher->open(&p->launch, &spec, err))
		return -1;
	int rc = drive(p, jobs, n, err);
	p->launcher->close(p->launch);
	return rc;
}

static bool is_first_of_launcher(const struct preflight_job *jobs, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!strcmp(jobs[k].trial->launcher, jobs[i].trial->launcher))
			return false;
	return true;
}

int preflight_jobs_run(struct session *s, const struct listener *l, struct preflight_job *jobs,
		       size_t n, int parallel, struct err *err)
{
	struct pool p = {.s = s, .l = l, .parallel = (size_t)parallel < n ? (size_t)parallel : n};
	int rc = 0;

	if (!n)
		return 0;
	p.signal_fd = interrupt_open(err);
	if (p.signal_fd < 0)
		return -1;
	p.slots = xcalloc(p.parallel, sizeof *p.slots);
	for (size_t i = 0; !rc && i < n; i++) {
		if (!is_first_of_launcher(jobs, i))
			continue;
		p.name = jobs[i].trial->launcher;
		p.launcher = launch_find(jobs[i].trial->launcher);
		rc = p.launcher ? run_launcher(&p, jobs, n, err)
				: err_set(err, ERR_USAGE, 0, "%s: unknown launcher \"%s\"",
					  jobs[i].trial->run_id, jobs[i].trial->launcher);
	}
	interrupt_close(p.signal_fd);
	free(p.slots);
	return rc;
}

void preflight_job_release(struct preflight_job *job)
{
	json_decref(job->result);
	json_decref(job->evaluation);
	free(job->log);
	job->result = job->evaluation = NULL;
	job->log = NULL;
}
