/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The scheduler with a launcher that is nothing like the local one: it hands its jobs to an engine that lives
 * longer than any supervisor, lets them wait, and tells what became of them when it is asked. The engine is a
 * folder with a file per job; what a worker would do is done by whoever plays the engine.
 */
#include "test.h"
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include "base/clock.h"
#include "base/json.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/result.h"
#include "launch/launch.h"
#include "sched/sched.h"
#include "store-fixture.h"
#include "store/manifest.h"

#define ENGINE "engine"
enum { JOBS = 4, WAIT_MS = 10000 };

/* How the engine of a test behaves, and what it was asked. */
static struct {
	int64_t queue_ms; /* between submit and a worker's first line; -1: it never starts */
	int submitted, attached, cancelled;
	char attached_to[64];
} engine;

struct batch {
	struct launch base;
	int root_fd;
	struct batch_job {
		bool used, named, stopped;
		char *dir;
		int64_t start_ms; /* -1: never */
	} jobs[JOBS];
};

static int batch_open(struct launch **out, const struct launch_spec *spec, struct err *err)
{
	struct batch *b = xcalloc(1, sizeof *b);

	b->base.launcher = NULL;
	b->root_fd = spec->root_fd;
	*out = &b->base;
	return 0;
}

/* Over there, nothing of this machine is known. */
static void batch_place(struct launch *l, struct attempt *a)
{
	assert_null(a->gateway);
	assert_null(a->control);
	assert_int_equal(a->uid, 0);
}

static void take(struct batch *b, const struct launch_job *job)
{
	b->jobs[job->id] = (struct batch_job){
		.used = true,
		.dir = xstrdup(job->dir),
		.start_ms = engine.queue_ms < 0 ? -1 : clock_mono_ms() + engine.queue_ms,
	};
}

static int batch_submit(struct launch *l, const struct launch_job *job, struct err *err)
{
	engine.submitted++;
	assert_non_null(job->token);
	assert_non_null(job->judge_token);
	take((struct batch *)l, job);
	return 0;
}

static int batch_attach(struct launch *l, const struct launch_job *job, const char *name,
			struct err *err)
{
	engine.attached++;
	snprintf(engine.attached_to, sizeof engine.attached_to, "%s", name ? name : "");
	take((struct batch *)l, job);
	return 0;
}

static size_t batch_watch(const struct launch *l, struct pollfd *fds)
{
	return 0;
}

static int64_t batch_due(const struct launch *l)
{
	const struct batch *b = (const struct batch *)l;
	int64_t due = -1;

	for (int i = 0; i < JOBS; i++) {
		const struct batch_job *job = &b->jobs[i];
		if (job->used && (!job->named || job->stopped))
			return 0; /* at once */
		if (job->used && job->start_ms >= 0 && (due < 0 || job->start_ms < due))
			due = job->start_ms;
	}
	return due;
}

/* What rollouts-trial does of an attempt whose agent is nobody. */
static void work(int root_fd, const char *dir)
{
	AUTO(json) json_t *j = NULL;
	AUTO(fd) int fd = openat(root_fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(buf) struct buf text = BUF_INIT;
	struct attempt a;
	struct result r;
	struct err err;

	/* It went over there as it is: no path of this machine is in it. */
	assert_int_equal(path_read(fd, ATTEMPT_TRIAL, 1 << 20, &text, &err), 0);
	assert_null(strstr(text.data, "\"/"));
	assert_int_equal(json_parse(&j, text.data, text.len, ATTEMPT_TRIAL, &err), 0);
	assert_int_equal(attempt_from_json(&a, j, ATTEMPT_TRIAL, &err), 0);
	result_init(&r);
	r.run_id = xstrdup(a.trial.run_id);
	memcpy(r.key, a.trial.key, sizeof r.key);
	r.attempt = a.number;
	r.outcome = OUTCOME_COMPLETED;
	r.sandbox = xstrdup("none");
	AUTO(json) json_t *result = result_to_json(&r);
	assert_int_equal(json_write(fd, ATTEMPT_RESULT, result, false, &err), 0);
	result_release(&r);
	attempt_release(&a);
}

static void end(struct batch *b, size_t id, const char *how, launch_fn *fn, void *arg)
{
	free(b->jobs[id].dir);
	b->jobs[id] = (struct batch_job){0};
	fn(arg, &(struct launch_event){.kind = LAUNCH_ENDED, .id = id, .how = how});
}

static void batch_poll(struct launch *l, const struct pollfd *fds, launch_fn *fn, void *arg)
{
	static const char line[] =
		"{\"event\":\"phase\",\"phase\":\"agent\",\"deadline_ms\":60000}";
	struct batch *b = (struct batch *)l;

	for (size_t i = 0; i < JOBS; i++) {
		struct batch_job *job = &b->jobs[i];
		char name[32];
		if (!job->used)
			continue;
		snprintf(name, sizeof name, "job-%zu", i);
		if (!job->named)
			fn(arg, &(struct launch_event){LAUNCH_NAMED, .id = i, .name = name});
		job->named = true;
		AUTO(free) char *result = path_join(job->dir, ATTEMPT_RESULT);
		if (job->stopped) {
			end(b, i, "killed in its queue\033[7m", fn, arg);
		} else if (path_exists(b->root_fd, result)) {
			end(b, i, "ended while nobody looked", fn, arg);
		} else if (job->start_ms >= 0 && clock_mono_ms() >= job->start_ms) {
			fn(arg, &(struct launch_event){.kind = LAUNCH_LINE,
						       .id = i,
						       .line = line,
						       .len = sizeof line - 1});
			work(b->root_fd, job->dir);
			end(b, i, "exit status 0", fn, arg);
		}
	}
}

static void batch_cancel(struct launch *l, size_t id, enum launch_cancel how)
{
	engine.cancelled++;
	((struct batch *)l)->jobs[id].stopped = true;
}

static void batch_close(struct launch *l)
{
	struct batch *b = (struct batch *)l;

	for (int i = 0; i < JOBS; i++)
		free(b->jobs[i].dir);
	free(b);
}

#define BATCH(...)                                                                                 \
	{                                                                                          \
		.open = batch_open, .place = batch_place, .submit = batch_submit,                  \
		.attach = batch_attach, .watch = batch_watch, .due = batch_due,                    \
		.poll = batch_poll, .cancel = batch_cancel, .close = batch_close, __VA_ARGS__      \
	}
static const struct launcher batch = BATCH(.name = "batch");
static const struct launcher hasty = BATCH(.name = "hasty", .first_line_ms = 50);

static const struct launcher *find(const char *name)
{
	return !strcmp(name, "batch") ? &batch : !strcmp(name, "hasty") ? &hasty : NULL;
}

/* A rollout whose trials run at LAUNCHER, held as a supervisor holds it. */
struct held {
	struct rollout_ref ref;
	struct planfile plan;
	struct trial_progress *progress;
	struct journal *journal;
	int dir_fd;
};

static void hold(struct held *h, struct store *s, size_t n, const char *launcher)
{
	struct err err;

	memset(&engine, 0, sizeof engine);
	make_rollout(s, "bench", n, &h->ref, &h->plan, &h->dir_fd);
	for (size_t i = 0; i < n; i++) {
		free(h->plan.trials[i].launcher);
		h->plan.trials[i].launcher = xstrdup(launcher);
		free(h->plan.trials[i].provider);
		h->plan.trials[i].provider = xstrdup("somebody");
	}
	h->progress = xcalloc(n, sizeof *h->progress);
	struct manifest m = {s, &h->ref, &h->plan, h->progress, h->dir_fd};
	assert_int_equal(manifest_begin(&m, &err), 0);
}

/* Again, from what the journal says. */
static int run(struct held *h, struct store *s, struct sched_end *end, struct err *err)
{
	struct sched_item items[JOBS] = {{0}};
	struct journal_stats stats;

	for (size_t i = 0; i < h->plan.n; i++) {
		progress_release(&h->progress[i]);
		h->progress[i] = (struct trial_progress){0};
		items[i].index = i;
	}
	assert_int_equal(journal_open(&h->journal, h->dir_fd, err), 0);
	assert_int_equal(progress_read(h->progress, h->plan.trials, h->plan.n, h->dir_fd,
				       JOURNAL_PROGRESS, NULL, NULL, &stats, err),
			 0);
	journal_continue(h->journal, stats.last_seq);
	const struct sched_options o = {.store = s,
					.ref = &h->ref,
					.dir_fd = h->dir_fd,
					.plan = &h->plan,
					.progress = h->progress,
					.journal = h->journal,
					.items = items,
					.items_n = h->plan.n,
					.parallel = 2,
					.find_launcher = find,
					.worker = "/nowhere",
					.secret = "secret",
					.gateway = "/of/this/machine/gateway.sock",
					.control = "/of/this/machine/control.sock"};
	int status = sched_run(&o, end, err);
	struct err ignored;
	assert_int_equal(journal_close(h->journal, &ignored), 0);
	return status;
}

static void let_go(struct held *h)
{
	for (size_t i = 0; i < h->plan.n; i++)
		progress_release(&h->progress[i]);
	free(h->progress);
	release_rollout(&h->ref, &h->plan, h->dir_fd);
}

/* How often the journal tells of EVENT. */
static int count(const struct held *h, const char *event)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(free) char *member = xasprintf("\"event\":\"%s\"", event);
	struct err err;
	int n = 0;

	if (path_read(h->dir_fd, ROLLOUT_JOURNAL, 1 << 20, &text, &err))
		return 0;
	for (const char *at = text.data; at && (at = strstr(at, member)); at++)
		n++;
	return n;
}

static void test_jobs_that_wait_for_their_turn(void **state)
{
	struct held h;
	struct sched_end end;
	struct err err;

	hold(&h, *state, 3, "batch");
	engine.queue_ms = 200;
	int64_t start = clock_mono_ms();
	assert_int_equal(run(&h, *state, &end, &err), 0);
	assert_true(clock_mono_ms() - start >= 400); /* two at a time */
	assert_int_equal(end.why, SCHED_DONE);
	assert_int_equal(end.missing, 0);
	assert_int_equal(engine.submitted, 3);
	assert_int_equal(engine.attached, 0);
	assert_int_equal(engine.cancelled, 0);
	assert_int_equal(count(&h, EVENT_SUBMITTED), 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(h.progress[i].outcome, OUTCOME_COMPLETED);
		assert_string_equal(h.progress[i].phase, "agent");
		assert_null(h.progress[i].job);
	}
	let_go(&h);
}

static void test_one_that_should_have_begun_is_killed(void **state)
{
	struct held h;
	struct sched_end end;
	struct err err;

	hold(&h, *state, 1, "hasty");
	engine.queue_ms = -1;
	assert_int_equal(run(&h, *state, &end, &err), 0);
	assert_int_equal(end.missing, 1);
	assert_int_equal(engine.cancelled, 1);
	assert_int_equal(h.progress[0].outcome, OUTCOME_INFRA_ERROR);
	assert_non_null(strstr(h.progress[0].reason, "first phase went past its deadline"));
	let_go(&h);
}

static void test_a_launcher_there_is_not(void **state)
{
	struct held h;
	struct sched_end end;
	struct err err;

	hold(&h, *state, 1, "elsewhere");
	assert_int_equal(run(&h, *state, &end, &err), -1);
	assert_non_null(strstr(err.msg, "\"elsewhere\""));
	assert_int_equal(count(&h, EVENT_STARTED), 0);
	let_go(&h);
}

/* Supervise in a process of its own until the job is written down, then die of SIGKILL. */
static void supervise_and_be_killed(struct held *h, struct store *s)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		struct sched_end end;
		struct err err;
		engine.queue_ms = -1;
		_exit(run(h, s, &end, &err) ? 1 : 0);
	}
	for (int64_t until = clock_mono_ms() + WAIT_MS; !count(h, EVENT_SUBMITTED);) {
		assert_true(clock_mono_ms() < until);
		usleep(5000);
	}
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void check_taken_up(struct held *h, struct store *s)
{
	struct sched_end end;
	struct err err;

	assert_int_equal(run(h, s, &end, &err), 0);
	assert_int_equal(end.missing, 0);
	assert_int_equal(engine.submitted, 0);
	assert_int_equal(engine.attached, 1);
	assert_string_equal(engine.attached_to, "job-0");
	assert_int_equal(h->progress[0].attempts, 1);
	assert_int_equal(h->progress[0].outcome, OUTCOME_COMPLETED);
	assert_int_equal(count(h, EVENT_STARTED), 1);
	assert_int_equal(count(h, EVENT_FINISHED), 1);
}

static void test_a_job_goes_on_without_its_supervisor(void **state)
{
	struct held h;

	hold(&h, *state, 1, "batch");
	supervise_and_be_killed(&h, *state);
	engine.queue_ms = 50;
	check_taken_up(&h, *state);
	let_go(&h);
}

static void test_a_job_ends_without_its_supervisor(void **state)
{
	struct store *s = *state;
	struct held h;

	hold(&h, s, 1, "batch");
	supervise_and_be_killed(&h, s);
	AUTO(free) char *dir = datadir_attempt(h.plan.trials[0].run_id, 1);
	work(s->root_fd, dir);
	engine.queue_ms = -1;
	check_taken_up(&h, s);
	let_go(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jobs_that_wait_for_their_turn, store_setup,
						store_teardown),
		cmocka_unit_test_setup_teardown(test_one_that_should_have_begun_is_killed,
						store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_a_launcher_there_is_not, store_setup,
						store_teardown),
		cmocka_unit_test_setup_teardown(test_a_job_goes_on_without_its_supervisor,
						store_setup, store_teardown),
		cmocka_unit_test_setup_teardown(test_a_job_ends_without_its_supervisor, store_setup,
						store_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
