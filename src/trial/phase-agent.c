/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/phase-agent.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "trial/boxes.h"
#include "trial/entry-point.h"
#include "trial/metered.h"

enum {
	SANDBOX_MS = 2 * 60 * 1000,
	COLLECT_MS = 5 * 60 * 1000,
	ROOM_MS = 60 * 60 * 1000,
	ROOM_AGAIN_MS = 1000,
	AGENT_EXTRA_MS = 30 * 1000, /* from the agent's deadline to a dead sandbox */
	AGENT_JSON_MAX = 1 << 20,
	RESULT_JSON_MAX = 4 << 20,
};

static void auto_sandbox(struct sandbox **s)
{
	sandbox_close(*s);
}

static void auto_repo_diff(struct repo_diff *d)
{
	repo_diff_release(d);
}

/* A git URL without the user and password that some people put there. */
static char *public_url(const char *url)
{
	const char *host = url ? strstr(url, "://") : NULL;
	const char *at = host ? strchr(host + 3, '@') : NULL;
	const char *slash = host ? strchr(host + 3, '/') : NULL;

	if (!at || (slash && slash < at))
		return xstrdup(url);
	return xasprintf("%.*s%s", (int)(host + 3 - url), url, at + 1);
}

static int write_repo_info(const struct work *w, const struct repo_diff *d,
			   const struct strv *left_out, struct err *err)
{
	AUTO(json) json_t *j = json_object();
	AUTO(free) char *url = public_url(w->task.repo.git_url);

	json_put_str(j, "git_url", url);
	json_put_str(j, "branch", w->task.repo.branch);
	json_put_str(j, "start_commit", w->baseline.start_commit);
	json_put_str(j, "baseline_commit", w->baseline.baseline_commit);
	json_put_str(j, "subdir", w->task.repo.subdir);
	json_put_int(j, "files_changed", d->files);
	json_put_int(j, "lines_added", d->lines_added);
	json_put_int(j, "lines_removed", d->lines_removed);
	json_put_bool(j, "diff_truncated", d->truncated);
	json_put_strv(j, "ignored", &d->ignored);
	json_put_strv(j, "skipped", &d->skipped);
	json_put_strv(j, "not_collected", left_out);
	json_put_strv(j, "git_hooks", &d->hooks);
	return json_write(w->run_fd, ATTEMPT_REPO_INFO, j, w->attempt.sync, err);
}

static int open_patch(const struct work *w, int flags, struct err *err)
{
	return path_open_beneath(w->run_fd, ATTEMPT_DIFF, flags, 0644, err);
}

static int digest_patch(struct work *w, struct err *err)
{
	AUTO(fd) int fd = open_patch(w, O_RDONLY, err);
	char block[65536];
	struct hash h;
	ssize_t n;

	if (fd < 0)
		return -1;
	hash_init(&h);
	while ((n = read(fd, block, sizeof block)) > 0)
		hash_bytes(&h, block, (size_t)n);
	if (n < 0)
		return err_set(err, ERR_INFRA, errno, "read " ATTEMPT_DIFF);
	hash_hex(&h, w->result.agent.digest);
	return 0;
}

/* From here on neither a resume nor a retry runs the agent again. */
static int commit_agent(struct work *w, struct err *err)
{
	if (digest_patch(w, err))
		return -1;
	AUTO(json) json_t *record = agent_record_to_json(&w->result.agent);
	if (json_write(w->run_fd, ATTEMPT_AGENT, record, w->attempt.sync, err))
		return -1;
	json_t *e = work_event(EVENT_AGENT_DONE);
	json_put_str(e, "digest", w->result.agent.digest);
	json_put_str(e, "outcome", outcome_name(w->result.agent.outcome));
	work_say(w, e);
	return 0;
}

static int write_patch(const struct work *w, const void *data, size_t n, struct err *err)
{
	return path_write(w->run_fd, ATTEMPT_DIFF, data, n, 0644, w->attempt.sync, err);
}

/* The first lines of LIST that fit, whole. */
static void join_lines(char *to, size_t size, const struct strv *list)
{
	size_t len = 0;

	*to = '\0';
	for (size_t i = 0; i < list->n && len + strlen(list->v[i]) + 2 <= size; i++) {
		char *line = to + len + (len > 0);
		if (len)
			to[len++] = '\n';
		len += (size_t)snprintf(to + len, size - len, "%s", list->v[i]);
		for (char *p = line; *p; p++)
			if (*p == '\n')
				*p = '?';
	}
}

/* Only where there are some. */
static int write_times(const struct work *w, const struct strv *times, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < times->n; i++)
		buf_add(&text, times->v[i], strlen(times->v[i]) + 1);
	return text.len ? path_write(w->run_fd, ATTEMPT_DIFF_TIMES, text.data, text.len, 0644,
				     w->attempt.sync, err)
			: 0;
}

static int diff_workspace(struct work *w, struct sandbox *box, const struct strv *left_out,
			  struct err *err)
{
	AUTO(repo_diff) struct repo_diff d = {0};
	AUTO(fd) int fd = open_patch(w, O_WRONLY | O_CREAT | O_TRUNC, err);

	if (fd < 0 || sandbox_diff(box, fd, &d, err))
		return -1;
	if (w->attempt.sync && fsync(fd))
		return err_set(err, ERR_INFRA, errno, "sync " ATTEMPT_DIFF);
	w->result.agent.diff_bytes = d.bytes;
	w->result.agent.diff_files = d.files;
	w->result.agent.diff_lines = d.lines_added + d.lines_removed;
	w->result.agent.diff_truncated = d.truncated;
	w->result.agent.ignored_paths = (int64_t)d.ignored.n;
	w->result.agent.skipped_paths = (int64_t)d.skipped.n;
	join_lines(w->result.agent.ignored, sizeof w->result.agent.ignored, &d.ignored);
	join_lines(w->result.agent.skipped, sizeof w->result.agent.skipped, &d.skipped);
	return write_times(w, &d.times, err) ? -1 : write_repo_info(w, &d, left_out, err);
}

static struct agent_job agent_job(struct work *w)
{
	const bool asks = attempt_agent_asks(&w->attempt);

	return (struct agent_job){
		.attempt = &w->attempt,
		.task = &w->task,
		.step = w->step,
		.images = w->images,
		.images_n = w->images_n,
		.run_fd = w->run_fd,
		.usage = w->control ? work_usage : NULL,
		.usage_arg = w,
		.token = asks ? w->token : "",
		.gold = w->gold.len ? w->gold.data : NULL,
		.gold_len = w->gold.len,
		.gateway_fd = asks ? w->gateway_fd : -1,
		.cancel_fds = {w->signal_fd, w->event_fd},
		.on_output = w->attempt.stream_output ? work_output : NULL,
		.on_output_arg = w,
	};
}

/* nop and oracle need no machine when nobody will look at the workspace, or only at their diff. */
static int agent_without_sandbox(struct work *w, struct err *err)
{
	struct agent_job job = agent_job(w);

	w->result.workspace = xstrdup("none");
	w->result.limits_held = xstrdup("none");
	work_phase(w, PHASE_AGENT, w->attempt.trial.limits.timeout_ms);
	if (agent_run(&job, NULL, &w->result.agent, err))
		return -1;
	work_phase(w, PHASE_COLLECT, COLLECT_MS);
	w->result.agent.diff_bytes = (int64_t)w->gold.len;
	if (write_patch(w, w->gold.data, w->gold.len, err) ||
	    path_write(w->run_fd, ATTEMPT_NOTES, "", 0, 0600, w->attempt.sync, err))
		return -1;
	return commit_agent(w, err);
}

/* ERR came of the state of the box, after the agent had worked in it: its failure, and no way to be counted out. */
static int blame_agent(struct work *w, const struct err *err)
{
	work_end_agent(w, OUTCOME_AGENT_ERROR, "", err->msg);
	return 0;
}

/* A model was asked: the agent runs, whatever it says of its start. */
static bool has_asked(struct work *w)
{
	struct err ignored;

	return w->control && control_state(w->control, &w->metered, &ignored) == 0 &&
	       w->metered.calls;
}

/* What an agent made was paid for: where there is no room for it, it is written once there is. False: it is another
 * error, somebody asks us to end, or it took too long. */
static bool await_room(struct work *w, const struct err *err, int64_t *until_ms)
{
	struct pollfd asked[] = {{.fd = w->signal_fd, .events = POLLIN}, {.fd = w->event_fd}};
	char note[sizeof err->msg + 80];

	if (!err_no_room(err) || err->from_box)
		return false;
	if (!*until_ms) {
		*until_ms = clock_mono_ms() + ROOM_MS;
		snprintf(note, sizeof note,
			 "%s: what the agent made is kept back until there is room", err->msg);
		work_phase(w, PHASE_COLLECT, ROOM_MS + COLLECT_MS);
		json_t *e = work_event(EVENT_NOTE);
		json_put_str(e, "text", note);
		json_put_str(e, "cause", CAUSE_NO_ROOM);
		work_say(w, e);
	}
	return clock_mono_ms() < *until_ms && !poll(asked, ARRAY_SIZE(asked), ROOM_AGAIN_MS);
}

static int take_diff(struct work *w, struct sandbox *box, const struct strv *left_out,
		     struct err *err)
{
	int64_t until_ms = 0;
	int rc;

	while ((rc = diff_workspace(w, box, left_out, err)) && await_room(w, err, &until_ms))
		;
	if (!rc)
		return 0;
	if (!err->from_box || write_patch(w, "", 0, err))
		return -1;
	return blame_agent(w, err);
}

/* An agent that could not go on names the answer it had; whether another attempt would have the same, the gateway knows. */
static int who_failed(struct work *w, struct err *err)
{
	struct err why = {0};

	if (!err->from_box && work_metered(w, &why) && w->result.refused)
		*err = why;
	return -1;
}

/* What the gateway knows of the session's end is the end of the prompt that was asked last. */
static void settle_prompt(struct agent_record *a)
{
	size_t i = a->prompts_n;

	while (i && !a->prompts[i - 1].asked)
		i--;
	if (!i || a->prompts[i - 1].outcome == a->outcome)
		return;
	a->prompts[i - 1].outcome = a->outcome;
	memcpy(a->prompts[i - 1].reason, a->reason, sizeof a->reason);
}

static int run_agent(struct work *w, struct sandbox *box, struct strv *left_out, struct err *err)
{
	struct agent_job job = agent_job(w);
	int64_t timeout_ms = w->attempt.trial.limits.timeout_ms, wall_ms = work_agent_ms(w);

	work_phase(w, PHASE_AGENT, wall_ms ? wall_ms + AGENT_EXTRA_MS : 0);
	const bool watched = clock_watch(true);
	job.watch = work_watch(w);
	job.gateway_port = sandbox_gateway_port(box);
	int unprepared = agent_prepare(&job, box, err), failed = 0;
	job.deadline_ms = timeout_ms ? clock_mono_ms() + timeout_ms : 0;
	if (!unprepared)
		failed = agent_run(&job, box, &w->result.agent, err);
	clock_watch(watched);
	if (unprepared)
		return -1;
	if (w->result.agent.metrics.disk_bytes >= 0)
		w->result.agent.metrics.disk_bytes = sandbox_disk_bytes(box);
	w->result.agent.oom_killed = w->result.oom_killed = sandbox_oom_killed(box);
	if (failed && err->from_box && has_asked(w))
		failed = blame_agent(w, err);
	if (failed && err->kind != ERR_CANCELLED)
		return who_failed(w, err);
	if (!failed)
		failed = work_metered(w, err);
	settle_prompt(&w->result.agent);
	work_phase(w, PHASE_COLLECT, COLLECT_MS);
	/* The work of an agent that was interrupted, or does not count, is kept for people, not committed. */
	struct err late = {0};
	struct err *e = failed ? &late : err;
	int64_t until_ms = 0;
	int rc = 0;
	while (!failed && (rc = agent_collect(&job, box, &w->result.agent, left_out, e)) &&
	       await_room(w, e, &until_ms))
		;
	return rc || sandbox_stop(box, e) || take_diff(w, box, left_out, e) ? -1 : failed;
}

int work_agent(struct work *w, struct err *err)
{
	AUTO(sandbox) struct sandbox *box = NULL;
	AUTO(strv) struct strv left_out = STRV_INIT;

	w->result.agent.metrics = agent_metrics_unknown;
	if (w->attempt.trial.sandbox == SANDBOX_NONE || w->attempt.preflight)
		return agent_without_sandbox(w, err);
	work_phase(w, PHASE_SANDBOX, SANDBOX_MS + work_entry_ms(w));
	if (work_sandbox(w, &box, BOX_AGENT, err) || work_entry_point(w, box, BOX_AGENT, err))
		return -1;
	w->result.workspace = xstrdup(sandbox_workspace(box));
	w->result.limits_held = xstrdup(sandbox_limits_held(box));
	if (*sandbox_isolation(box))
		w->result.isolation = xstrdup(sandbox_isolation(box));
	int64_t until_ms = 0;
	int rc = run_agent(w, box, &left_out, err);

	while (!rc && (rc = commit_agent(w, err)) && await_room(w, err, &until_ms))
		rc = 0;
	return rc;
}

/* NAME of the attempt in FROM_FD becomes ours as well; nobody writes to it any more. What is not there is left out. */
static int take(const struct work *w, int from_fd, const char *name, struct err *err)
{
	if (!path_exists(from_fd, name))
		return 0;
	if (path_remove_tree(w->run_fd, name, err))
		return -1;
	return path_share_tree(from_fd, name, w->run_fd, name, err);
}

/* How long its agent took and in what kind of workspace is part of the result that we make anew. Not known where that
 * attempt ended before it had one. */
static void take_past(struct work *w, int from_fd)
{
	static const char *const phases[] = {PHASE_SANDBOX, PHASE_AGENT, PHASE_COLLECT};
	AUTO(json) json_t *j = NULL;
	struct result past;
	struct err ignored;

	result_init(&past);
	const char *name = path_exists(from_fd, ATTEMPT_RESULT) ? ATTEMPT_RESULT : ATTEMPT_SO_FAR;
	if (!json_read(&j, from_fd, name, RESULT_JSON_MAX, &ignored) &&
	    !result_from_json(&past, j, name, &ignored)) {
		w->result.workspace = STEAL(&past.workspace);
		w->result.limits_held = STEAL(&past.limits_held);
		w->result.isolation = STEAL(&past.isolation);
		for (size_t i = 0; i < past.phases_n; i++)
			for (size_t k = 0; k < ARRAY_SIZE(phases); k++)
				if (!strcmp(past.phases[i].name, phases[k]))
					result_add_phase(&w->result, phases[k], past.phases[i].ms);
	}
	if (!w->result.workspace)
		w->result.workspace = xstrdup("none");
	if (!w->result.limits_held)
		w->result.limits_held = xstrdup("none");
	result_release(&past);
}

static int take_over(struct work *w, struct err *err)
{
	static const char *const taken[] = {ATTEMPT_ARTIFACTS, ATTEMPT_AGENT_LOG, ATTEMPT_AGENT_ERR,
					    ATTEMPT_CALLS, ATTEMPT_RECORDING};
	AUTO(json) json_t *record = NULL;
	char number[16];
	AUTO(free)
	char *name = path_join("..", attempt_taken_folder(&w->attempt, number));
	AUTO(fd) int from =
		openat(w->run_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return err_set(err, ERR_INFRA, errno, "open its folder");
	if (json_read(&record, from, ATTEMPT_AGENT, AGENT_JSON_MAX, err) ||
	    agent_record_from_json(&w->result.agent, record, ATTEMPT_AGENT, err))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
		if (take(w, from, taken[i], err))
			return err_wrap(err, "take over");
	char committed[HASH_HEX];
	memcpy(committed, w->result.agent.digest, sizeof committed);
	if (digest_patch(w, err))
		return -1;
	if (strcmp(committed, w->result.agent.digest))
		return err_set(err, ERR_USAGE, 0,
			       ATTEMPT_DIFF " was changed since it was committed");
	take_past(w, from);
	return commit_agent(w, err);
}

/* What is damaged is not run again by itself: it may be dear, and somebody may have a copy. */
int work_take_over(struct work *w, struct err *err)
{
	if (!take_over(w, err))
		return 0;
	/* No room, say, is no damage. */
	if (err->retry || err_no_room(err))
		return err_wrap(err, "attempt %d", w->attempt.agent_from);
	return err_wrap(err, "attempt %d (rollouts resume %s --rerun %s runs its agent again)",
			w->attempt.agent_from, w->attempt.bench, w->attempt.trial.run_id);
}
