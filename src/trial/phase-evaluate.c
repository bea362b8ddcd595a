/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/phase-evaluate.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/run-links.h"
#include "core/datadir.h"
#include "core/event.h"
#include "eval/eval.h"
#include "eval/tamper.h"
#include "trial/accounts.h"
#include "trial/boxes.h"
#include "trial/entry-point.h"

enum {
	INFO_MAX = 16 << 20,
	EVALUATE_EXTRA_MS = 5 * 60 * 1000,
	JUDGE_MS = 4 * 60 * 60 * 1000, /* with all waiting for the provider */
};

static void auto_sandbox(struct sandbox **s)
{
	sandbox_close(*s);
}

static void auto_evaluation(struct evaluation *e)
{
	evaluation_release(e);
}

/* A name that the agent was never told is in what it printed or in what it and its model said. */
static bool names_end_commit(const struct work *w, const char *file)
{
	enum { ID = 12, BLOCK = 1 << 16 };
	const char *end = w->task.repo.end_commit;
	struct err ignored;
	AUTO(fd) int fd = path_open_beneath(w->run_fd, file, O_RDONLY, 0, &ignored);
	AUTO(free) char *block = xmalloc(BLOCK);
	size_t kept = 0;

	for (ssize_t n; fd >= 0 && (n = read(fd, block + kept, BLOCK - kept)) > 0;) {
		size_t all = kept + (size_t)n;
		if (memmem(block, all, end, ID))
			return true;
		kept = all < ID ? all : ID - 1;
		memmove(block, block + all - kept, kept);
	}
	return false;
}

/* The commit that solves the task is in no sandbox, and no agent is told of it. */
static void look_for_history(struct work *w)
{
	static const char *const files[] = {ATTEMPT_AGENT_LOG, ATTEMPT_AGENT_ERR,
					    ATTEMPT_RECORDING};
	const char *end = w->task.repo.end_commit;

	if (!end || strlen(end) < 40 ||
	    (w->task.repo.start_commit && !strcmp(end, w->task.repo.start_commit)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (names_end_commit(w, files[i])) {
			tamper_tell(&w->result.suspect, files[i],
				    "names the commit that solves the task, so history after the "
				    "start was read");
			return;
		}
}

/* They are in no diff, and run whenever somebody uses git there. */
static void look_for_hooks(struct work *w)
{
	AUTO(json) json_t *info = NULL;
	struct err ignored;
	const json_t *name;
	size_t i;

	if (json_read(&info, w->run_fd, ATTEMPT_REPO_INFO, INFO_MAX, &ignored))
		return;
	json_array_foreach (json_object_get(info, "git_hooks"), i, name) {
		AUTO(free) char *path = xasprintf(".git/hooks/%s", json_string_value(name));
		tamper_tell(&w->result.suspect, path, "is a git hook");
	}
}

/* In *CLEAN the diff without what is meant for the tests, where there is such; -1: PATCH as it is will do. */
static int watch_tampering(struct work *w, int patch, int *clean, struct err *err)
{
	AUTO(buf) struct buf diff = BUF_INIT;
	struct tamper t = {0};
	int failed = 0;

	if (!strcmp(w->attempt.trial.agent, "oracle"))
		return 0;
	look_for_history(w);
	look_for_hooks(w);
	if (path_read_fd(patch, (size_t)(w->attempt.trial.limits.diff_mb + 1) << 20, &diff, err))
		return -1;
	tamper_look(&t, w->step, &w->gold_paths, diff.data ? diff.data : "", diff.len);
	strv_pushv(&w->result.suspect, strv_items(&t.evidence));
	if (t.left_out) {
		*clean = memfd_create("clean.patch", MFD_CLOEXEC);
		failed = *clean < 0 ? err_set(err, ERR_INFRA, errno, "memory for the diff")
				    : path_write_all(*clean, t.clean.data, t.clean.len, err);
	}
	tamper_release(&t);
	return failed ? -1 : 0;
}

int work_open_graded(struct work *w, struct sandbox **box, char **refused, struct err *err)
{
	AUTO(fd) int patch = path_open_beneath(w->run_fd, ATTEMPT_DIFF, O_RDONLY, 0, err);

	if (patch < 0)
		return -1;
	if (w->result.agent.diff_truncated) {
		*refused = xstrdup("the diff was too large and is not complete");
		return 0;
	}
	if (work_sandbox(w, box, BOX_EVALUATE, err))
		return -1;
	if (!w->result.isolation && *sandbox_isolation(*box))
		w->result.isolation = xstrdup(sandbox_isolation(*box));
	AUTO(fd) int clean = -1;
	if (watch_tampering(w, patch, &clean, err))
		return -1;
	if (clean >= 0 ? lseek(clean, 0, SEEK_END) == 0 : !w->result.agent.diff_bytes)
		return work_entry_point(w, *box, BOX_EVALUATE, err);
	/* Attempts of older versions, and of agents that are none, have none. */
	struct err none = {0};
	AUTO(fd) int times = path_open_beneath(w->run_fd, ATTEMPT_DIFF_TIMES, O_RDONLY, 0, &none);
	if (sandbox_apply(*box, clean >= 0 ? clean : patch, times, refused, err))
		return -1;
	return *refused ? 0 : work_entry_point(w, *box, BOX_EVALUATE, err);
}

/* E's scores become the result's. */
static void take_scores(struct work *w, struct evaluation *e)
{
	struct result *r = &w->result;

	r->evaluated = true;
	r->scored = e->total.known;
	r->total_score = e->total.value;
	r->coverage = e->total.coverage;
	r->score_low = e->total.low;
	r->score_high = e->total.high;
	r->tests = e->tests;
	r->tests_passed = e->tests_passed;
	r->judge_score = e->judge_score;
	json_decref(r->judge_votes);
	r->judge_votes = json_incref(e->judge_votes);
	snprintf(r->judge_prompt, sizeof r->judge_prompt, "%s", e->judge_prompt);
	snprintf(r->judge_model, sizeof r->judge_model, "%s", e->judge_model);
	struct step_result *step = result_add_step(r, w->step->name);
	step->tests = e->tests;
	step->tests_passed = e->tests_passed;
	strv_pushv(&r->suspect, strv_items(&e->suspect));
	metrics_release(&r->metrics);
	r->metrics = e->metrics;
	e->metrics = (struct metrics){0};
	r->usage = e->usage;
	step->scores = e->scores;
	e->scores = (struct scores){0};
}

/* Each test has a time of its own, or the trial's; 0 when one of them has no end. */
static int64_t evaluate_ms(const struct work *w)
{
	int64_t common_ms = w->attempt.trial.limits.eval_timeout_ms;
	int64_t total_ms = w->attempt.trial.limits.eval_total_ms;
	int64_t sum_ms = common_ms + EVALUATE_EXTRA_MS;

	if (total_ms)
		return total_ms + EVALUATE_EXTRA_MS;
	for (size_t i = 0; i < w->step->tests_n; i++) {
		int64_t own_ms = w->step->tests[i].timeout_ms;

		if (!own_ms && !common_ms)
			return 0;
		sum_ms += own_ms ? own_ms : common_ms;
	}
	return w->judge ? sum_ms + JUDGE_MS : sum_ms;
}

int work_evaluate(struct work *w, struct err *err)
{
	AUTO(sandbox) struct sandbox *box = NULL;
	AUTO(free) char *refused = NULL;
	AUTO(evaluation) struct evaluation e = {0};
	struct eval_job job = {
		.attempt = &w->attempt,
		.task = &w->task,
		.step = w->step,
		.run_fd = w->run_fd,
		.has_work = w->result.agent.diff_bytes > 0,
		.agent = &w->result.agent,
		.on_output = w->attempt.stream_output ? work_output : NULL,
		.on_output_arg = w,
	};

	const struct model_client client = {
		.socket_fd = w->gateway_fd,
		.token = w->judge_token,
		.deadline_ms = clock_mono_ms() + JUDGE_MS,
		.news_fd = -1,
		.cancel_fds = {w->signal_fd, w->event_fd},
	};

	work_phase(w, PHASE_EVALUATE, evaluate_ms(w));
	job.started_ms = w->phase_start_ms;
	if (eval_needs_sandbox(&w->attempt, w->step) && work_open_graded(w, &box, &refused, err))
		return -1;
	job.patch_refused = refused;
	job.fence_code = w->judge_code;
	job.client = w->judge && w->attempt.judge.api ? &client : NULL;
	/* What it cost is told however it ended. */
	struct err graded = {0}, judged = {0};
	const bool watched = clock_watch(true);
	int failed = eval_run(&job, box, &e, &graded), unjudged = work_judged(w, &judged);
	clock_watch(watched);
	w->result.oom_killed |= box && sandbox_oom_killed(box);
	if (failed || unjudged) {
		/* What the gateway says of the provider is more than what was seen of its answers. */
		*err = unjudged && graded.kind != ERR_CANCELLED ? judged : graded;
		return -1;
	}
	take_scores(w, &e);
	if (eval_write(&job, &e, &w->result, err))
		return -1;
	return run_links_grade(w->trial_fd, err);
}
