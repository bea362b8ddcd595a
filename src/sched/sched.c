/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. One thread, one poll loop. Each turn: start what may start, hand the journal
 * to the kernel, tell the listener, wait, take in what happened.
 *
 * An item is in one place at a time: in the queue (never started), in a job (its worker runs), in
 * the queue's heap (it waits for another try, holding no job), or done. A worker speaks in event
 * lines; its end is the end of its process, and what it achieved is its result.json, or agent.json,
 * or nothing. So a worker may die anywhere, and so may we: the journal's last words and those files
 * say where to go on.
 *
 * The journal is written before the loop waits, hence before anybody can have seen what it tells
 * of; it is synced by a thread of its own. The manifest is derived and lags behind.
 *
 * Interrupts raise a level: start no more; stop what runs; kill it. Everything else that ends a run
 * early (the first trials all failing for one reason, a full disk, --fail-fast) only stops the
 * starting, and the loop ends when nothing runs.
 */
#include "sched/sched.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/event.h"
#include "sched/internal.h"

enum {
	GRACE_MS = 10000, /* a worker ends its phase itself; past this we end the worker */
	MANIFEST_MS = 2000,
	DISK_AGAIN_MS = 5000,
	PARTIAL_MAX = 64 << 10,
};

void sched_manifest(struct sched *s, const char *state, bool now)
{
	struct manifest m = {s->o->store, s->o->ref, s->o->plan, s->o->progress, s->o->dir_fd};
	int64_t start = clock_mono_ms();
	struct err err;

	if (!now && (!s->manifest_stale || start < s->manifest_due_ms))
		return;
	if (manifest_write(&m, state, &err))
		log_warn("%s", err.msg);
	s->manifest_stale = false;
	/* Writing ten thousand entries takes a while: never more than a hundredth of the time. */
	int64_t cost = clock_mono_ms() - start;
	s->manifest_due_ms = start + (cost * 100 > MANIFEST_MS ? cost * 100 : MANIFEST_MS);
}

/* --- starting -----------------------------------------------------------------------------------
 */

static bool may_start(const struct sched *s)
{
	return !s->level && !s->failed_fast && !s->disk_full && s->hold <= SCHED_WAIT;
}

static size_t free_job(const struct sched *s)
{
	size_t id = 0;

	while (s->jobs[id].used)
		id++;
	return id;
}

static bool disk_allows(struct sched *s)
{
	if (disk_has_room(&s->disk)) {
		s->disk_full = false;
		return true;
	}
	if (!s->disk_full)
		listener_say(s->o->listener,
			     "the disk of %s is nearly full (%lld MB free; 5 %% and 2 GB are kept "
			     "free): "
			     "starting nothing more",
			     s->o->store->root, (long long)(s->disk.free_bytes >> 20));
	s->disk_full = true;
	return false;
}

static bool launcher_allows(const struct sched *s, size_t item)
{
	const struct site *site = sched_site(s, item);

	return !site->launcher->fits ||
	       site->launcher->fits(site->launch, &sched_trial(s, item)->limits);
}

/* Once stopped it stays so: what was held back is for resume. */
static bool hook_allows(struct sched *s)
{
	const struct sched_hook *hook = s->o->hook;

	if (hook && s->hold <= SCHED_WAIT)
		s->hold = hook->hold(hook->arg, s->hold_why, sizeof s->hold_why);
	return s->hold == SCHED_GO;
}

static void start_more(struct sched *s)
{
	while (s->running < (size_t)s->o->parallel && !s->level && !s->failed_fast) {
		int64_t now = clock_mono_ms();
		size_t item;
		if (!queue_peek(&s->queue, now, !s->streak.paused, &item))
			return;
		if (!hook_allows(s) || !disk_allows(s) || !launcher_allows(s, item))
			return;
		queue_pop(&s->queue, now);
		attempt_start(s, free_job(s), item);
	}
}

/* --- what workers say ---------------------------------------------------------------------------
 */

static void on_phase(struct sched *s, struct job *job, const json_t *j)
{
	int64_t within = json_get_int(j, "deadline_ms", 0);
	const char *phase = json_get_str(j, "phase", "");
	char line[64];
	json_t *fields = json_object();

	snprintf(job->phase, sizeof job->phase, "%s", phase);
	job->deadline_ms = within > 0 ? clock_mono_ms() + within + clock_grace_ms(GRACE_MS) : 0;
	json_put_str(fields, "phase", phase);
	json_put_int(fields, "deadline_ms", within);
	progress_apply(sched_progress(s, job->item), EVENT_PHASE, job->attempt, fields);
	journal_add(s->o->journal, EVENT_PHASE, sched_trial(s, job->item), job->attempt, fields);
	snprintf(line, sizeof line, "phase %s", phase);
	listener_output(s->o->listener, sched_trial(s, job->item)->run_id, line, strlen(line));
}

static void on_note(struct sched *s, struct job *job, const json_t *j)
{
	const char *text = json_get_str(j, "text", "");
	json_t *fields = json_object();

	json_put_str(fields, "text", text);
	journal_add(s->o->journal, EVENT_NOTE, sched_trial(s, job->item), job->attempt, fields);
	listener_output(s->o->listener, sched_trial(s, job->item)->run_id, text, strlen(text));
}

static void on_agent_done(struct sched *s, struct job *job, const json_t *j)
{
	json_t *fields = json_object();

	json_put_str(fields, "digest", json_get_str(j, "digest", ""));
	json_put_str(fields, "outcome", json_get_str(j, "outcome", ""));
	progress_apply(sched_progress(s, job->item), EVENT_AGENT_DONE, job->attempt, fields);
	journal_add(s->o->journal, EVENT_AGENT_DONE, sched_trial(s, job->item), job->attempt,
		    fields);
}

static void on_output(struct sched *s, struct job *job, const json_t *j)
{
	struct buf *line = &job->partial[!strcmp(json_get_str(j, "stream", ""), "stderr")];
	const char *run_id = sched_trial(s, job->item)->run_id, *text = json_get_str(j, "text", "");

	for (size_t n; *text; text += n) {
		n = strcspn(text, "\n");
		buf_add(line, text, n);
		if (!text[n] && line->len < PARTIAL_MAX)
			return;
		listener_output(s->o->listener, run_id, line->data, line->len);
		buf_reset(line);
		n += text[n] == '\n';
	}
}

static void on_line(struct sched *s, struct job *job, const char *line, size_t len)
{
	static const struct {
		const char *event;
		void (*take)(struct sched *s, struct job *job, const json_t *j);
	} table[] = {
		{EVENT_PHASE, on_phase},
		{EVENT_NOTE, on_note},
		{EVENT_AGENT_DONE, on_agent_done},
		{EVENT_OUTPUT, on_output},
	};
	AUTO(json) json_t *j = json_loadb(line, len, 0, NULL);
	const char *event = json_get_str(j, "event", "");

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(event, table[i].event))
			table[i].take(s, job, j);
}

static void on_named(struct sched *s, const struct job *job, const char *name)
{
	json_t *fields = json_object();
	AUTO(free) char *line = xasprintf("submitted to %s: %s", job->site->launcher->name, name);

	json_put_str(fields, "launcher", job->site->launcher->name);
	json_put_str(fields, "job", name);
	progress_apply(sched_progress(s, job->item), EVENT_SUBMITTED, job->attempt, fields);
	journal_add(s->o->journal, EVENT_SUBMITTED, sched_trial(s, job->item), job->attempt,
		    fields);
	listener_output(s->o->listener, sched_trial(s, job->item)->run_id, line, strlen(line));
}

static void on_launch_event(void *arg, const struct launch_event *e)
{
	struct sched *s = arg;
	struct job *job = &s->jobs[e->id];

	switch (e->kind) {
	case LAUNCH_NAMED:
		on_named(s, job, e->name);
		break;
	case LAUNCH_LINE:
		on_line(s, job, e->line, e->len);
		break;
	case LAUNCH_ENDED:
		finish_job(s, e->id, e->how);
		break;
	}
}

/* --- time and interrupts ------------------------------------------------------------------------
 */

static void cancel(const struct sched *s, size_t id, enum launch_cancel how)
{
	const struct site *site = s->jobs[id].site;

	site->launcher->cancel(site->launch, id, how);
}

static void cancel_all(struct sched *s, enum launch_cancel how)
{
	for (size_t i = 0; i < (size_t)s->o->parallel; i++)
		if (s->jobs[i].used)
			cancel(s, i, how);
}

static void tell(struct sched *s)
{
	static const struct {
		const char *doing, *next;
	} words[] = {
		[INTERRUPT_DRAIN] = {"finishing", "; interrupt again to stop them"},
		[INTERRUPT_STOP] = {"stopping", "; interrupt again to kill them"},
		[INTERRUPT_KILL] = {"killing", ""},
	};

	listener_say(s->o->listener, "interrupted: %s the %zu running%s", words[s->level].doing,
		     s->running, words[s->level].next);
}

static void take_interrupts(struct sched *s)
{
	enum interrupt_level before = s->level;

	s->level = interrupt_read(s->signal_fd, before);
	if (s->level == before)
		return;
	tell(s);
	if (before == INTERRUPT_NONE)
		journal_add(s->o->journal, EVENT_INTERRUPTED, NULL, 0, NULL);
	if (s->level == INTERRUPT_STOP) {
		cancel_all(s, LAUNCH_STOP);
		s->kill_ms = clock_mono_ms() + clock_grace_ms(GRACE_MS);
	} else if (s->level == INTERRUPT_KILL) {
		cancel_all(s, LAUNCH_KILL);
		s->kill_ms = 0;
	}
}

static void enforce_deadlines(struct sched *s)
{
	int64_t now = clock_mono_ms();

	if (s->kill_ms && now >= s->kill_ms) {
		s->level = INTERRUPT_KILL;
		s->kill_ms = 0;
		cancel_all(s, LAUNCH_KILL);
	}
	for (size_t i = 0; i < (size_t)s->o->parallel; i++) {
		struct job *job = &s->jobs[i];
		if (!job->used || !job->deadline_ms || now < job->deadline_ms)
			continue;
		job->late = true;
		job->deadline_ms = 0;
		cancel(s, i, LAUNCH_KILL);
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Milliseconds until something is due without an event, -1: never. */
static int64_t next_due(struct sched *s)
{
	const struct sched_hook *hook = s->o->hook;
	const struct listener *listener = s->o->listener;
	int64_t now = clock_mono_ms(), due = listener ? listener->due(listener->arg) : -1;

	if (hook)
		due = earlier(due, hook->due(hook->arg));
	if (may_start(s) && s->running < (size_t)s->o->parallel)
		due = earlier(due, queue_next_due(&s->queue));
	if (s->kill_ms)
		due = earlier(due, s->kill_ms);
	if (s->manifest_stale)
		due = earlier(due, s->manifest_due_ms);
	if (s->disk_full)
		due = earlier(due, now + DISK_AGAIN_MS);
	for (size_t i = 0; i < s->sites_n; i++)
		if (s->sites[i].launcher->due)
			due = earlier(due, s->sites[i].launcher->due(s->sites[i].launch));
	for (size_t i = 0; i < (size_t)s->o->parallel; i++)
		if (s->jobs[i].used && s->jobs[i].deadline_ms)
			due = earlier(due, s->jobs[i].deadline_ms);
	return due < 0 ? -1 : due > now ? due - now : 0;
}

static void tell_progress(const struct sched *s)
{
	size_t n = s->o->items_n;
	int64_t left = -1;

	/* A guess needs a few ends to stand on. */
	if (s->done >= 3 && s->done >= (size_t)s->o->parallel)
		left = (clock_mono_ms() - s->started_ms) * (int64_t)(n - s->done) /
		       (int64_t)s->done;
	listener_tell(s->o->listener,
		      &(struct listener_event){
			      .kind = LISTENER_TURN, .done = s->done, .total = n, .left_ms = left});
}

/* --- the loop -----------------------------------------------------------------------------------
 */

static bool is_over(const struct sched *s)
{
	return !s->running && (!may_start(s) || queue_is_empty(&s->queue, !s->streak.paused));
}

static int flush(struct sched *s, struct err *err)
{
	const struct buf *lines = journal_pending(s->o->journal);

	if (lines->len)
		listener_tell(s->o->listener, &(struct listener_event){.kind = LISTENER_JOURNAL,
								       .text = lines->data,
								       .len = lines->len});
	if (journal_flush(s->o->journal, err))
		return -1;
	tell_progress(s);
	return 0;
}

static void turn(struct sched *s, struct pollfd *fds)
{
	const struct sched_hook *hook = s->o->hook;
	struct pollfd *next = fds + 1, *others;
	int64_t wait = next_due(s);

	fds[0] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
	for (size_t i = 0; i < s->sites_n; i++) {
		struct site *site = &s->sites[i];
		site->fds = next;
		next += site->launcher->watch(site->launch, next);
	}
	others = next;
	next += hook ? hook->watch(hook->arg, others) : 0;
	int ready = poll(fds, (nfds_t)(next - fds),
			 wait < 0	    ? -1
			 : wait < INT32_MAX ? (int)wait
					    : INT32_MAX);
	if (ready > 0 && fds[0].revents)
		take_interrupts(s);
	for (size_t i = 0; ready >= 0 && i < s->sites_n; i++)
		s->sites[i].launcher->poll(s->sites[i].launch, s->sites[i].fds, on_launch_event, s);
	if (hook)
		hook->turn(hook->arg, others);
	enforce_deadlines(s);
	sched_manifest(s, "running", false);
}

static int loop(struct sched *s, struct err *err)
{
	AUTO(free)
	struct pollfd *fds = xcalloc(
		1 + s->sites_n * (size_t)s->o->parallel * LAUNCH_FDS + SCHED_HOOK_FDS, sizeof *fds);

	for (;;) {
		start_more(s);
		if (flush(s, err))
			return -1;
		if (is_over(s))
			return 0;
		turn(s, fds);
	}
}

static void sum_up(const struct sched *s, struct sched_end *out)
{
	*out = (struct sched_end){.done = s->done};
	for (size_t i = 0; i < s->o->items_n; i++)
		out->missing += !s->items[i].done || !progress_has_result(sched_progress(s, i));
	if (s->level) {
		out->why = SCHED_INTERRUPTED;
	} else if (s->disk_full) {
		out->why = SCHED_NO_DISK;
		snprintf(out->text, sizeof out->text, "the disk of %s is nearly full",
			 s->o->store->root);
	} else if (s->streak.paused) {
		out->why = SCHED_SAME_ERROR;
		snprintf(out->text, sizeof out->text, "%s", s->streak.reason);
	} else if (s->failed_fast) {
		out->why = SCHED_FAILED_FAST;
	} else if (s->hold > SCHED_WAIT) {
		out->why = s->hold == SCHED_STOP ? SCHED_HELD : SCHED_BROKEN;
		snprintf(out->text, sizeof out->text, "%s", s->hold_why);
	}
}

const struct site *sched_site(const struct sched *s, size_t item)
{
	const char *name = sched_trial(s, item)->launcher;

	for (size_t i = 0; i < s->sites_n; i++)
		if (!strcmp(s->sites[i].launcher->name, name))
			return &s->sites[i];
	bug("no such launcher");
}

static bool is_open(const struct sched *s, const char *name)
{
	for (size_t i = 0; i < s->sites_n; i++)
		if (!strcmp(s->sites[i].launcher->name, name))
			return true;
	return false;
}

static int open_site(struct sched *s, const struct trial *t, struct err *err)
{
	const struct sched_options *o = s->o;
	const struct launch_spec spec = {
		.root_fd = o->store->root_fd,
		.worker = o->worker,
		.parallel = (size_t)o->parallel,
		.gateway = o->plan->gateway ? o->plan->gateway : o->gateway,
		.control = o->plan->gateway ? NULL : o->control,
		.uid_base = o->plan->uid_base,
	};
	struct site site = {.launcher = o->find_launcher(t->launcher)};

	if (!site.launcher)
		return err_set(err, ERR_USAGE, 0,
			       "trial %s is to run at \"%s\", which this rollouts does not know",
			       t->run_id, t->launcher);
	if (site.launcher->open(&site.launch, &spec, err))
		return -1;
	s->sites = xreallocarray(s->sites, s->sites_n + 1, sizeof *s->sites);
	s->sites[s->sites_n++] = site;
	return 0;
}

/* Each launcher that a trial names, once. */
static int open_sites(struct sched *s, struct err *err)
{
	for (size_t i = 0; i < s->o->items_n; i++)
		if (!is_open(s, sched_trial(s, i)->launcher) &&
		    open_site(s, sched_trial(s, i), err))
			return -1;
	return 0;
}

static void close_sched(struct sched *s)
{
	for (size_t i = 0; i < s->sites_n; i++)
		s->sites[i].launcher->close(s->sites[i].launch);
	if (s->signal_fd >= 0)
		interrupt_close(s->signal_fd);
	for (size_t i = 0; i < (size_t)s->o->parallel; i++)
		for (int k = 0; s->jobs[i].used && k < 2; k++)
			buf_release(&s->jobs[i].partial[k]);
	queue_release(&s->queue);
	strv_release(&s->leftovers);
	free(s->sites);
	free(s->items);
	free(s->jobs);
}

static int open_sched(struct sched *s, struct err *err)
{
	const struct sched_options *o = s->o;

	s->items = xcalloc(o->items_n ? o->items_n : 1, sizeof *s->items);
	for (size_t i = 0; i < o->items_n; i++)
		s->items[i].item = o->items[i];
	s->jobs = xcalloc((size_t)o->parallel, sizeof *s->jobs);
	queue_init(&s->queue, o->items_n);
	disk_init(&s->disk, o->store->root_fd);
	s->started_ms = clock_mono_ms();
	if (open_sites(s, err))
		return -1;
	s->signal_fd = interrupt_open(err);
	return s->signal_fd < 0 ? -1 : 0;
}

static void sweep_leftovers(struct sched *s)
{
	enum { TRIES = 20, PAUSE_US = 50000 };

	for (size_t i = 0; i < s->leftovers.n; i++)
		for (int k = 0; k < TRIES; k++) {
			if (s->o->sweep(s->o->store->root_fd, s->leftovers.v[i]))
				break;
			usleep(PAUSE_US);
		}
}

static bool is_complete(const struct sched *s)
{
	for (size_t i = 0; i < s->o->plan->n; i++)
		if (!progress_has_result(&s->o->progress[i]))
			return false;
	return true;
}

int sched_run(const struct sched_options *o, struct sched_end *out, struct err *err)
{
	struct sched s = {.o = o, .signal_fd = -1};

	if (open_sched(&s, err)) {
		close_sched(&s);
		return -1;
	}
	sched_manifest(&s, "running", true);
	int status = loop(&s, err);
	sweep_leftovers(&s);
	sched_manifest(&s, is_complete(&s) ? "complete" : "incomplete", true);
	if (!status)
		sum_up(&s, out);
	close_sched(&s);
	return status;
}
