/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. A launcher of this room takes attempts and lets each end when its time has come; the scheduler's world is
 * this room too, and lets the clock of the process jump to whatever is due next. So every decision (which trial begins, when one is tried again, when
 * the run is given up) is the scheduler's own. How long an attempt takes, and whether it fails, follows from the seed, the trial and the
 * try alone: two simulations that differ in one setting differ by that setting.
 */
#include "simulate/simulate.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "launch/launch.h"
#include "sched/sched.h"

enum { BEGIN_MS = 1000000, MINUTE_MS = 60000 };

/* An attempt that works; a heap of them, the first to end first. */
struct work {
	int64_t end_ms;
	size_t id;
};

struct sim {
	struct launch base;
	const struct simulate_request *q;
	struct simulation *out;
	struct work *heap;
	size_t heap_n;
	const size_t *order; /* item -> trial */
	size_t trial;	     /* that is about to be submitted */
	int try;
	bool *fails; /* of each trial: its try under way */
	int64_t last_begin_ms;
	double slot_ms, wasted_ms, calls;
	double *minutes; /* calls of each minute */
	size_t minutes_n;
};

/* The scheduler opens launchers by their names: there is one simulation at a time. */
static struct sim *current;

static const struct launcher sim_launcher;

static int sim_open(struct launch **out, const struct launch_spec *spec, struct err *err)
{
	current->base.launcher = &sim_launcher;
	*out = &current->base;
	return 0;
}

static void swap(struct work *a, struct work *b)
{
	struct work w = *a;
	*a = *b;
	*b = w;
}

static void push(struct sim *s, struct work w)
{
	size_t i = s->heap_n++;

	s->heap[i] = w;
	for (; i && s->heap[(i - 1) / 2].end_ms > s->heap[i].end_ms; i = (i - 1) / 2)
		swap(&s->heap[i], &s->heap[(i - 1) / 2]);
}

static struct work pop(struct sim *s)
{
	struct work first = s->heap[0];

	s->heap[0] = s->heap[--s->heap_n];
	for (size_t i = 0, child; (child = 2 * i + 1) < s->heap_n; i = child) {
		if (child + 1 < s->heap_n && s->heap[child + 1].end_ms < s->heap[child].end_ms)
			child++;
		if (s->heap[i].end_ms <= s->heap[child].end_ms)
			break;
		swap(&s->heap[i], &s->heap[child]);
	}
	return first;
}

/* Its calls, evenly over its time, into the minutes of the run. */
static void spread_calls(struct sim *s, int64_t from_ms, int64_t to_ms, double calls)
{
	const size_t first = (size_t)((from_ms - BEGIN_MS) / MINUTE_MS);
	const size_t last = (size_t)((to_ms - BEGIN_MS) / MINUTE_MS);

	s->calls += calls;
	if (last >= s->minutes_n) {
		size_t n = 2 * (last + 1);
		s->minutes = xreallocarray(s->minutes, n, sizeof *s->minutes);
		memset(s->minutes + s->minutes_n, 0, (n - s->minutes_n) * sizeof *s->minutes);
		s->minutes_n = n;
	}
	for (size_t m = first; m <= last; m++) {
		int64_t a = BEGIN_MS + (int64_t)m * MINUTE_MS, b = a + MINUTE_MS;
		int64_t within = (to_ms < b ? to_ms : b) - (from_ms > a ? from_ms : a);
		s->minutes[m] += to_ms > from_ms
					 ? calls * (double)within / (double)(to_ms - from_ms)
					 : calls / (double)(last - first + 1);
	}
}

static const char *task_of(const struct simulate_request *q, size_t trial)
{
	return q->plan->trials[trial % q->plan->n].task_id;
}

static int sim_submit(struct launch *l, const struct launch_job *job, struct err *err)
{
	struct sim *s = (struct sim *)l;
	const struct simulate_request *q = s->q;
	const int64_t now = clock_mono_ms();
	double ms = 1000 *
		    durations_draw(q->durations, task_of(q, s->trial), q->seed, s->trial, s->try);
	const uint64_t which = (uint64_t)s->try * 2 + 1;
	const bool fails = durations_chance(q->seed, s->trial, which) < q->failures;

	/* It may fail at any time of its work. */
	if (fails)
		ms *= durations_chance(q->seed, s->trial, which + ((uint64_t)1 << 40));
	s->fails[s->trial] = fails;
	const int64_t begin = now + q->start_ms, end = begin + (int64_t)ms;
	s->last_begin_ms = now;
	s->slot_ms += (double)(end - now);
	s->wasted_ms += fails ? (double)(end - now) : 0;
	s->out->attempts++;
	s->out->failed += fails;
	if (q->calls > 0)
		spread_calls(s, begin, end, q->calls);
	push(s, (struct work){end, job->id});
	return 0;
}

static void sim_place(struct launch *l, struct attempt *a)
{
}

static size_t sim_watch(const struct launch *l, struct pollfd *fds)
{
	return 0;
}

static int64_t sim_due(const struct launch *l)
{
	const struct sim *s = (const struct sim *)l;

	return s->heap_n ? s->heap[0].end_ms : -1;
}

static void sim_poll(struct launch *l, const struct pollfd *fds, launch_fn *fn, void *arg)
{
	struct sim *s = (struct sim *)l;

	while (s->heap_n && s->heap[0].end_ms <= clock_mono_ms())
		fn(arg, &(struct launch_event){
				.kind = LAUNCH_ENDED, .id = pop(s).id, .how = "simulated"});
}

/* Who is interrupted ends at once. */
static void sim_cancel(struct launch *l, size_t id, enum launch_cancel how)
{
	struct sim *s = (struct sim *)l;

	for (size_t i = 0; i < s->heap_n; i++)
		s->heap[i].end_ms = clock_mono_ms();
}

static void sim_close(struct launch *l)
{
}

static const struct launcher sim_launcher = {.open = sim_open,
					     .place = sim_place,
					     .submit = sim_submit,
					     .watch = sim_watch,
					     .due = sim_due,
					     .poll = sim_poll,
					     .cancel = sim_cancel,
					     .close = sim_close};

static const struct launcher *find_launcher(const char *name)
{
	return &sim_launcher;
}

static void pass(void *arg, int64_t ms)
{
	if (ms > 0)
		clock_virtual_set(clock_mono_ms() + ms);
}

static void begin(void *arg, size_t item, int try)
{
	struct sim *s = arg;

	s->trial = s->order[item];
	s->try = try;
}

static void look(void *arg, size_t item, struct rundir_left *out)
{
	struct sim *s = arg;
	const bool fails = s->fails[s->order[item]];

	*out = (struct rundir_left){
		.outcome = fails ? OUTCOME_INFRA_ERROR : OUTCOME_COMPLETED,
		.retry = fails,
		.agent_committed = false,
		.result = json_object(),
	};
	if (fails)
		json_put_str(out->result, "reason", "simulated");
	else
		s->out->usd += s->q->usd;
}

struct expected {
	double sec;
	size_t item;
};

static int longest_first(const void *a, const void *b)
{
	const struct expected *x = a, *y = b;

	if (x->sec != y->sec)
		return x->sec > y->sec ? -1 : 1;
	return x->item < y->item ? -1 : x->item > y->item;
}

/* By what an earlier rollout tells of tasks; where none does, by what each trial will take, as nobody can know: the best that an order could do. */
static size_t *order_of(const struct simulate_request *q)
{
	struct expected *e = xcalloc(q->trials, sizeof *e);
	size_t *order = xcalloc(q->trials, sizeof *order);

	for (size_t i = 0; i < q->trials; i++)
		e[i] = (struct expected){
			q->order == ORDER_PLANNED ? 0
			: q->durations->kind == DURATIONS_HISTORY
				? durations_expect(q->durations, task_of(q, i))
				: durations_draw(q->durations, task_of(q, i), q->seed, i, 1),
			i};
	if (q->order == ORDER_LONGEST)
		qsort(e, q->trials, sizeof *e, longest_first);
	for (size_t i = 0; i < q->trials; i++)
		order[i] = e[i].item;
	free(e);
	return order;
}

static void conclude(struct sim *s, const struct sched_end *end, int64_t now)
{
	struct simulation *out = s->out;

	out->makespan_ms = now - BEGIN_MS;
	out->tail_ms = now - s->last_begin_ms;
	const double all = (double)out->makespan_ms * s->q->parallel;
	out->busy = all > 0 ? s->slot_ms / all : 0;
	out->wasted = s->slot_ms > 0 ? s->wasted_ms / s->slot_ms : 0;
	out->missing = end->missing;
	out->calls_per_min = out->makespan_ms ? s->calls * MINUTE_MS / (double)out->makespan_ms : 0;
	for (size_t i = 0; i < s->minutes_n; i++)
		if (s->minutes[i] > out->peak_calls_per_min)
			out->peak_calls_per_min = s->minutes[i];
	if (end->why != SCHED_DONE)
		snprintf(out->why, sizeof out->why, "%s",
			 end->why == SCHED_INTERRUPTED ? "interrupted" : end->text);
}

int simulate(struct simulation *out, const struct simulate_request *q, struct err *err)
{
	struct sim s = {.q = q, .out = out};
	const struct sched_world world = {.pass = pass, .begin = begin, .look = look, .arg = &s};
	const struct store nowhere = {.root_fd = -1};
	const struct rollout_ref ref = {0};
	struct planfile plan = *q->plan;
	struct sched_end end = {0};

	*out = (struct simulation){0};
	AUTO(free) size_t *order = order_of(q);
	AUTO(free) struct sched_item *items = xcalloc(q->trials, sizeof *items);
	AUTO(free) struct trial_progress *progress = xcalloc(q->trials, sizeof *progress);
	AUTO(free) struct trial *trials = xcalloc(plan.n, sizeof *trials);
	memcpy(trials, plan.trials, plan.n * sizeof *trials);
	plan.trials = trials;
	for (size_t i = 0; i < plan.n; i++) {
		trials[i].retries = q->retries >= 0 ? q->retries : trials[i].retries;
		trials[i].run_id = (char *)"";
	}
	for (size_t i = 0; i < q->trials; i++)
		items[i].index = order[i] % plan.n;
	s.order = order;
	s.heap = xcalloc((size_t)q->parallel, sizeof *s.heap);
	s.fails = xcalloc(q->trials, sizeof *s.fails);
	const struct sched_options o = {.world = &world,
					.store = &nowhere,
					.ref = &ref,
					.dir_fd = -1,
					.plan = &plan,
					.progress = progress,
					.items = items,
					.items_n = q->trials,
					.parallel = q->parallel,
					.fail_fast = plan.fail_fast,
					.find_launcher = find_launcher};
	current = &s;
	clock_virtual_set(BEGIN_MS);
	int rc = sched_run(&o, &end, err);
	if (!rc)
		conclude(&s, &end, clock_mono_ms());
	clock_virtual_set(0);
	current = NULL;
	for (size_t i = 0; i < q->trials; i++)
		progress_release(&progress[i]);
	free(s.heap);
	free(s.fails);
	free(s.minutes);
	return rc;
}
