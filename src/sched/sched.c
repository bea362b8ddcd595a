/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. One thread, one poll loop. Each turn: start what may start, hand the journal
 * to the kernel, tell the listener, wait, take in what happened.
 *
 * An item is in one place at a time: in the queue (never started), in a job (its worker waits for
 * its turn at a launcher, or runs), in the queue's heap (it waits for another try, holding no job),
 * or done. A worker speaks in event lines; its launcher says when it has ended, and what it achieved
 * is its result.json, or agent.json, or nothing. So a worker may die anywhere, and so may we: the
 * journal's last words and those files say where to go on. A job that outlives us is taken up again
 * by the next supervisor; whatever else we leave running is ended before that one begins.
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
	MANIFEST_MS = 2000,
	AGAIN_MS = 1000, /* what may mend itself is looked at again */
	READY_AGAIN_MS = 500,
	LOOK_MS = 1000, /* at the clock: who stood still must know before deadlines come */
};

/* As things stand, when it is due or NOW; a failure is reported and tried again later. */
static void write_manifest(struct sched *s, const char *state, bool now)
{
	struct manifest m = {s->o->store, s->o->ref, s->o->plan, s->o->progress, s->o->dir_fd};
	int64_t start = clock_mono_ms();
	struct err err;

	if (s->o->world || (!now && (!s->manifest_stale || start < s->manifest_due_ms)))
		return;
	if (manifest_write(&m, state, &err)) {
		log_warn("%s", err.msg);
		snprintf(s->underived, sizeof s->underived, "%s", err.msg);
	}
	s->manifest_stale = false;
	/* Writing ten thousand entries takes a while: never more than a hundredth of the time. */
	int64_t cost = clock_mono_ms() - start;
	s->manifest_due_ms = start + (cost * 100 > MANIFEST_MS ? cost * 100 : MANIFEST_MS);
}

static bool may_start(const struct sched *s)
{
	return !s->level && !s->failed_fast && !s->too_many_failed && !s->refused.trials &&
	       !s->disk_full && !s->unwritten && s->hold <= SCHED_WAIT;
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
	if (s->o->world || disk_has_room(&s->disk)) {
		s->disk_full = false;
		return true;
	}
	if (!s->disk_full && s->disk.refused)
		listener_say(s->o->listener,
			     "nothing can be written to %s (a quota, or its inodes?): starting "
			     "nothing more",
			     s->o->store->root);
	else if (!s->disk_full)
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
	const struct site *site = sites_of(&s->sites, sched_trial(s, item));

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

/* Out of the way of those that may start; true: it was. One that was never started stays so once all fails for one
 * reason. */
static bool set_aside(struct sched *s, size_t item, int64_t now)
{
	const struct sched_hook *hook = s->o->hook;
	struct item *i = &s->items[item];

	if (i->held && !i->tries && s->streak.paused) {
		queue_pop(&s->queue, now);
		return true;
	}
	if (!hook || !hook->ready || hook->ready(hook->arg, i->item.index))
		return false;
	i->held = true;
	queue_pop(&s->queue, now);
	queue_retry(&s->queue, item, now + READY_AGAIN_MS);
	return true;
}

static void start_more(struct sched *s)
{
	while (s->running < (size_t)s->o->parallel && !s->level && !s->failed_fast &&
	       !s->too_many_failed && !s->refused.trials && !s->unwritten) {
		int64_t now = clock_mono_ms();
		size_t item;
		if (!queue_peek(&s->queue, now, !s->streak.paused, &item))
			return;
		if (!hook_allows(s))
			return;
		if (set_aside(s, item, now))
			continue;
		if (!disk_allows(s) || !launcher_allows(s, item))
			return;
		queue_pop(&s->queue, now);
		attempt_start(s, free_job(s), item);
	}
}

static void on_named(struct sched *s, struct job *job, const char *name)
{
	json_t *fields = json_object();

	job->named_ms = clock_mono_ms();
	AUTO(free) char *line = xasprintf("submitted to %s: %s", job->site->name, name);

	json_put_str(fields, "launcher", job->site->name);
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
	case LAUNCH_STARTING:
		job->starting = true;
		break;
	case LAUNCH_LINE:
		worker_line(s, job, e->line, e->len);
		break;
	case LAUNCH_ENDED:
		finish_job(s, e->id, e->how);
		break;
	}
}

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
	if (s->manifest_stale && !s->o->world)
		due = earlier(due, s->manifest_due_ms);
	if (s->disk_full || s->unwritten)
		due = earlier(due, now + AGAIN_MS);
	due = earlier(due, sites_due(&s->sites));
	for (size_t i = 0; i < (size_t)s->o->parallel; i++)
		if (s->jobs[i].used && s->jobs[i].deadline_ms)
			due = earlier(due, s->jobs[i].deadline_ms);
	/* In a simulation no time passes between two turns but what it says. */
	if (s->running && !s->o->world)
		due = earlier(due, now + LOOK_MS);
	return due < 0 ? -1 : due > now ? due - now : 0;
}

static void tell_progress(const struct sched *s)
{
	size_t n = s->o->items_n;
	int64_t left = -1;

	/* A guess needs a few ends to stand on, and that the rest is going to be run. */
	if (may_start(s) && s->done >= 3 && s->done >= (size_t)s->o->parallel)
		left = (clock_mono_ms() - s->started_ms) * (int64_t)(n - s->done) /
		       (int64_t)s->done;
	struct listener_event e = {
		.kind = LISTENER_TURN, .done = s->done, .total = n, .left_ms = left};
	AUTO(free) struct listener_site *sites = xcalloc(s->sites.n + 1, sizeof *sites);
	for (size_t i = 0; i < s->sites.n; i++) {
		const struct site *site = &s->sites.v[i];
		if (site->launcher->attach)
			sites[e.sites_n++] =
				(struct listener_site){.name = site->name, .done = site->done};
	}
	e.sites = sites;
	for (size_t i = 0; e.sites_n && i < (size_t)s->o->parallel; i++) {
		const struct job *job = &s->jobs[i];
		struct listener_site *site = sites;
		if (!job->used || !job->site->launcher->attach)
			continue;
		while (site->name != job->site->name)
			site++;
		site->running += job->begun;
		site->starting += !job->begun && job->starting;
		site->queued += !job->begun && !job->starting;
	}
	listener_tell(s->o->listener, &e);
}

/* The last worker may have filled the disk itself, and what it left goes a little after its end. */
static bool room_may_come(struct sched *s)
{
	int64_t now = clock_mono_ms();

	if (s->running || !(s->disk_full || s->unwritten))
		s->idle_stuck_ms = 0;
	else if (!s->idle_stuck_ms)
		s->idle_stuck_ms = now;
	return s->idle_stuck_ms && now - s->idle_stuck_ms < 3 * AGAIN_MS;
}

static bool is_over(struct sched *s)
{
	return !room_may_come(s) && !s->running &&
	       (!may_start(s) || queue_is_empty(&s->queue, !s->streak.paused));
}

/* What runs was paid for: it goes on without a journal, and is found in its folders. -1: not written. */
static int flush(struct sched *s, struct err *err)
{
	if (s->o->world)
		return 0;
	const struct buf *lines = journal_pending(s->o->journal);

	if (lines->len > s->told)
		listener_tell(s->o->listener,
			      &(struct listener_event){.kind = LISTENER_JOURNAL,
						       .text = lines->data + s->told,
						       .len = lines->len - s->told});
	const int rc = journal_flush(s->o->journal, err);
	s->told = lines->len;
	if (rc && !s->unwritten)
		listener_say(s->o->listener, "%s: starting nothing more; what runs goes on",
			     err->msg);
	s->unwritten = rc != 0;
	tell_progress(s);
	return rc;
}

static int turn(struct sched *s, struct pollfd *fds, struct err *err)
{
	const struct sched_hook *hook = s->o->hook;
	size_t n = 1 + sites_watch(&s->sites, fds + 1);
	struct pollfd *others = fds + n;
	int64_t wait = next_due(s);

	fds[0] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
	n += hook ? hook->watch(hook->arg, others) : 0;
	if (s->o->world) {
		s->o->world->pass(s->o->world->arg, wait);
		wait = 0;
	}
	int ready = poll(fds, n, wait < 0 ? -1 : wait < INT32_MAX ? (int)wait : INT32_MAX);
	if (ready < 0 && errno != EINTR)
		return err_set(err, ERR_INFRA, errno, "wait for %zu descriptors", n);
	if (ready > 0 && fds[0].revents)
		take_interrupts(s);
	if (ready >= 0)
		sites_poll(&s->sites, on_launch_event, s);
	if (hook)
		hook->turn(hook->arg, others);
	enforce_deadlines(s);
	write_manifest(s, "running", false);
	return 0;
}

static int never_written(const struct sched *s, struct err *err)
{
	AUTO(buf) struct buf resume = BUF_INIT;
	AUTO(free) char *why = xstrdup(err->msg);

	store_command(&resume, s->o->store->root, s->o->ref, "resume");
	return err_set(err, ERR_INFRA, 0,
		       "%s; what ran has ended and is kept: make room, then `%s`", why,
		       resume.data);
}

static int loop_until_over(struct sched *s, struct err *err)
{
	AUTO(free)
	struct pollfd *fds = xcalloc(
		1 + s->sites.n * (size_t)s->o->parallel * LAUNCH_FDS + SCHED_HOOK_FDS, sizeof *fds);

	for (;;) {
		start_more(s);
		/* Only while something runs do we look at the clock each second, and has anything a deadline that counts. */
		clock_watch(s->running && !s->o->world);
		const int unwritten = flush(s, err);
		if (is_over(s))
			return unwritten ? never_written(s, err) : 0;
		if (turn(s, fds, err))
			return -1;
	}
}

static int loop(struct sched *s, struct err *err)
{
	const bool watched = clock_watch(false);
	const int rc = loop_until_over(s, err);

	clock_watch(watched);
	return rc;
}

static void sum_up(const struct sched *s, struct sched_end *out)
{
	*out = (struct sched_end){.done = s->done};
	memcpy(out->underived, s->underived, sizeof out->underived);
	for (size_t i = 0; i < s->o->items_n; i++)
		out->missing += !s->items[i].done || !progress_has_result(sched_progress(s, i));
	if (s->level) {
		out->why = SCHED_INTERRUPTED;
	} else if (s->refused.trials) {
		AUTO(buf) struct buf resume = BUF_INIT;
		store_command(&resume, s->o->store->root, s->o->ref, "resume");
		out->why = SCHED_REFUSED;
		snprintf(out->text, sizeof out->text, "%zu trial%s %s. Mend it and `%.160s`",
			 s->refused.trials, s->refused.trials == 1 ? "" : "s", s->refused.reason,
			 resume.data);
	} else if (s->disk_full) {
		out->why = SCHED_NO_DISK;
		snprintf(out->text, sizeof out->text, "the disk of %s is %s", s->o->store->root,
			 s->disk.refused ? "full, or a quota of it" : "nearly full");
	} else if (s->streak.paused) {
		out->why = SCHED_SAME_ERROR;
		snprintf(out->text, sizeof out->text, "%s", s->streak.reason);
	} else if (s->failed_fast) {
		out->why = SCHED_FAILED_FAST;
		snprintf(out->text, sizeof out->text, "%s", s->failed_why);
	} else if (s->too_many_failed) {
		out->why = SCHED_MANY_FAILED;
		snprintf(out->text, sizeof out->text,
			 "%zu of %zu trials failed, fail_on_error = %g", s->failed, s->done,
			 s->o->plan->fail_on_error);
	} else if (s->hold > SCHED_WAIT) {
		out->why = s->hold == SCHED_STOP ? SCHED_HELD : SCHED_BROKEN;
		snprintf(out->text, sizeof out->text, "%s", s->hold_why);
	}
}

static void close_sched(struct sched *s)
{
	sites_close(&s->sites);
	if (s->signal_fd >= 0)
		interrupt_close(s->signal_fd);
	for (size_t i = 0; i < (size_t)s->o->parallel; i++)
		for (int k = 0; s->jobs[i].used && k < 2; k++)
			buf_release(&s->jobs[i].partial[k]);
	queue_release(&s->queue);
	strv_release(&s->leftovers);
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
	if (!o->world)
		disk_init(&s->disk, o->store->root_fd);
	s->started_ms = clock_mono_ms();
	if (sites_open(&s->sites, o, err))
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
	for (size_t i = 0; !s->o->world && i < s->o->plan->n; i++)
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
	write_manifest(&s, "running", true);
	int status = loop(&s, err);
	sweep_leftovers(&s);
	write_manifest(&s, is_complete(&s) ? "complete" : "incomplete", true);
	if (!status)
		sum_up(&s, out);
	close_sched(&s);
	return status;
}
