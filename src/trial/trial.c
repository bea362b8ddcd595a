/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Theory of operation. A worker owns one attempt of one trial and nothing else. It starts as whoever runs
 * the benchmark, reads the task's snapshot and finds or makes the baseline (both live in the shared cache),
 * then becomes the trial's own unprivileged user if it was root, before anything untrusted runs. From there:
 * agent in a sandbox, its work committed (agent.json), evaluation in a fresh sandbox, result.json. Every
 * failure of ours becomes an infra_error result, so that the supervisor only has to read one file.
 */
#include "trial/trial.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "core/datadir.h"
#include "core/event.h"
#include "core/run-links.h"
#include "eval/tamper.h"
#include "os/fdio.h"
#include "os/user.h"
#include "trial/accounts.h"
#include "trial/boxes.h"
#include "trial/metered.h"
#include "trial/phase-agent.h"
#include "trial/phase-evaluate.h"
#include "trial/phase-harbor.h"
#include "trial/phase-shell.h"
#include "trial/work.h"

enum {
	TRIAL_JSON_MAX = 16 << 20,
	GOLD_MAX = 64 << 20,
	IMAGE_MAX = 8 << 20,
	PREPARE_MS = 60 * 60 * 1000, /* a first clone of a large repository */
};

/* A task's image that could not be made is told here, once per trial, and not tried again. */
static int read_image(struct work *w, struct err *err)
{
	const char *key = w->attempt.trial.image;

	if (image_read(&w->image, w->root_fd, key, w->attempt.trial.image_id, err))
		return err_wrap(err, "the image of this task");
	AUTO(free) char *log = xasprintf(DATA_IMAGES "/%s.log", key);
	if (path_exists(w->root_fd, log) &&
	    path_copy_tree(w->root_fd, log, w->run_fd, ATTEMPT_BUILD_LOG, err))
		return -1;
	if (*w->image.error)
		return err_set(err, ERR_USAGE, 0, "no image for this task: %s", w->image.error);
	w->result.image = xstrdup(w->image.digest);
	w->result.image_id = xstrdup(w->image.id);
	w->result.platform = xstrdup(w->image.platform);
	return 0;
}

static int read_gold_paths(struct work *w, const char *gold, struct err *err)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (!w->task.has_gold || !w->attempt.trial.evaluate || w->attempt.agent_only)
		return 0;
	if (path_read(w->root_fd, gold, GOLD_MAX, &text, err))
		return err_wrap(err, "the task's gold diff.patch");
	if (text.len)
		tamper_paths(&w->gold_paths, text.data, text.len);
	return 0;
}

/* Nothing but its user keeps what runs in a launcher's sandbox alone from reading files: tests and solution stay root's. */
static int hide(const struct work *w, struct err *err)
{
	static const char *const names[] = {SNAPSHOT_TASK, SNAPSHOT_GOLD};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		AUTO(free) char *path = path_join(w->attempt.trial.task_snapshot, names[i]);
		AUTO(fd) int fd = path_open_beneath(w->root_fd, path, O_RDONLY, 0, err);
		if (fd < 0 && err->sys == ENOENT)
			continue;
		if (fd < 0 || fchmod(fd, 0600))
			return err_set(err, ERR_INFRA, errno, "hide %s", path);
	}
	return 0;
}

/* Those that its agent is handed beside the instruction. */
static int read_images(struct work *w, struct err *err)
{
	const struct strv *names = &w->task.steps[0].images;

	w->images = xcalloc(names->n + 1, sizeof *w->images);
	for (size_t i = 0; i < names->n; i++) {
		AUTO(free) char *file = xasprintf("%s/" SNAPSHOT_APP "/%s",
						  w->attempt.trial.task_snapshot, names->v[i]);
		AUTO(buf) struct buf data = BUF_INIT;
		if (path_read(w->root_fd, file, IMAGE_MAX, &data, err))
			return err_wrap(err, "image");
		const size_t len = data.len;
		w->images[w->images_n++] =
			(struct agent_image){xstrdup(names->v[i]), buf_detach(&data), len};
	}
	return 0;
}

static void release_images(struct work *w)
{
	for (size_t i = 0; i < w->images_n; i++) {
		free(w->images[i].name);
		free(w->images[i].data);
	}
	free(w->images);
}

/* Whoever we are now may read the cache and, as root, the user's own repositories; later we may not. */
static int prepare(struct work *w, struct err *err)
{
	const struct trial *t = &w->attempt.trial;
	AUTO(free) char *gold = path_join(t->task_snapshot, SNAPSHOT_GOLD);

	work_phase(w, PHASE_PREPARE, PREPARE_MS);
	if (t->sandbox == SANDBOX_NONE && !t->evaluate && strcmp(t->agent, "oracle"))
		return 0; /* nothing below is needed, and thousands of these may run in a second */
	if (task_load(&w->task, w->root_fd, t->task_snapshot, err))
		return err_wrap(err, "task %s", t->task_id);
	w->step = &w->task.steps[0];
	if (sandbox_kind_is_plain(t->sandbox) && work_unmount(w, err))
		return -1;
	const json_t *patch = json_object_get(w->attempt.agent_spec, "patch");
	if (json_is_string(patch))
		buf_add(&w->gold, json_string_value(patch), json_string_length(patch));
	else if (!strcmp(t->agent, "oracle") && !w->attempt.agent_from && !w->task.harbor &&
		 path_read(w->root_fd, gold, GOLD_MAX, &w->gold, err))
		return err_wrap(err, "the oracle needs the task's gold diff.patch");
	if (!w->task.harbor && read_gold_paths(w, gold, err))
		return -1;
	if (t->sandbox == SANDBOX_LAUNCHER && hide(w, err))
		return -1;
	/* Who strips a text takes its last line's end, and a last line of context that is empty. */
	if (w->gold.len && w->gold.data[w->gold.len - 1] != '\n')
		buf_adds(&w->gold, "\n\n");
	if (t->sandbox == SANDBOX_NONE)
		return 0;
	if (read_images(w, err))
		return -1;
	if (t->sandbox == SANDBOX_DOCKER && read_image(w, err))
		return -1;
	if (trial_is_harbor(t))
		return work_harbor_prepare(w, err);
	const char *why =
		*t->repo_path ? task_layout_set_repo(&w->task.layout, t->repo_path) : NULL;
	if (why)
		return err_set(err, ERR_INFRA, 0, "the repository at %s: %s", t->repo_path, why);
	return repo_baseline_get(&w->baseline, w->root_fd, &w->task, t->task_snapshot,
				 image_copy(&w->image, w->task.layout.repo),
				 clock_mono_ms() + PREPARE_MS, err);
}

/* Its folder may be closed to the user we become. */
static int open_gateway(struct work *w, struct err *err)
{
	if (!w->attempt.gateway)
		return 0;
	w->gateway_fd = open(w->attempt.gateway, O_PATH | O_CLOEXEC);
	return w->gateway_fd < 0 ? err_set(err, ERR_INFRA, errno, "open the gateway's socket") : 0;
}

/* From root to the trial's own user, for good. */
static int drop_privileges(struct work *w, struct err *err)
{
	uid_t uid = w->attempt.uid;

	if (!uid || geteuid() != 0)
		return 0;
	return work_open_inherited(w, err) || user_become(uid, err) ? -1 : 0;
}

static int watch_signals(struct work *w, struct err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_set(err, ERR_INFRA, errno, "block signals");
	w->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->signal_fd < 0)
		return err_set(err, ERR_INFRA, errno, "signalfd");
	return 0;
}

static bool supervisor_is_gone(const struct work *w)
{
	struct pollfd p = {.fd = w->event_fd};

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP));
}

static int run_harbor(struct work *w, struct err *err)
{
	if (work_harbor(w, err))
		return -1;
	AUTO(free)
	char *reason = xasprintf("%s%s%s", w->result.agent.reason,
				 *w->result.agent.reason && *w->result.reason ? "; " : "",
				 w->result.reason);
	w->result.has_agent = true;
	w->result.outcome = w->result.agent.outcome;
	snprintf(w->result.reason, sizeof w->result.reason, "%s", reason);
	return 0;
}

/* Its phases, its workspace and what held it go into the result that another sandbox makes. */
static int keep_so_far(struct work *w, struct err *err)
{
	work_phase(w, PHASE_DONE, 0);
	AUTO(json) json_t *so_far = result_to_json(&w->result);
	return json_write(w->run_fd, ATTEMPT_SO_FAR, so_far, false, err);
}

/* Known since it was planned: it is here so that it is counted. */
static int check_refused(const struct work *w, struct err *err)
{
	const char *why = w->attempt.trial.refused;

	return *why ? err_set(err, ERR_USAGE, 0, "not run: %s", why) : 0;
}

static int run_phases(struct work *w, struct err *err)
{
	/* First of all: a failure to prepare leaves a result to be found as well. But a grade made again is
	 * shown once there is one: until then the one before stands. */
	if ((!w->attempt.regrade && run_links_make(w->trial_fd, w->attempt.number, err)) ||
	    check_refused(w, err) || prepare(w, err) || work_attach(w, err) ||
	    open_gateway(w, err) || drop_privileges(w, err) || watch_signals(w, err))
		return -1;
	if (trial_is_harbor(&w->attempt.trial) && w->attempt.trial.sandbox == SANDBOX_DOCKER)
		return run_harbor(w, err);
	if (w->attempt.agent_from ? work_take_over(w, err) : work_agent(w, err))
		return -1;
	w->result.has_agent = true;
	w->result.outcome = w->result.agent.outcome;
	snprintf(w->result.reason, sizeof w->result.reason, "%s", w->result.agent.reason);
	if (w->attempt.agent_only)
		return keep_so_far(w, err);
	if (w->attempt.trial.evaluate && work_evaluate(w, err))
		return -1;
	return w->attempt.regrade ? run_links_make(w->trial_fd, w->attempt.number, err) : 0;
}

/* What went wrong on our side, or on purpose, as a result. */
static void record_failure(struct work *w, const struct err *err)
{
	AUTO(buf) struct buf line = BUF_INIT;

	w->result.outcome = w->diverged			 ? OUTCOME_REPLAY_DIVERGED
			    : err->kind == ERR_CANCELLED ? OUTCOME_CANCELLED
							 : OUTCOME_INFRA_ERROR;
	w->result.retry = err->retry || err_no_room(err);
	if (err_no_room(err))
		snprintf(w->result.cause, sizeof w->result.cause, CAUSE_NO_ROOM);
	else if (!*w->result.cause && w->phase)
		snprintf(w->result.cause, sizeof w->result.cause, "%s", w->phase);
	w->result.evaluated = w->result.scored = false;
	text_renders(&line, err->msg, TEXT_TERMINAL_LINE);
	size_t keep = text_cut(line.data, line.len < sizeof w->result.reason - 1
						  ? line.len
						  : sizeof w->result.reason - 1);
	memcpy(w->result.reason, line.data, keep);
	w->result.reason[keep] = '\0';
}

/* Somebody looks into a sandbox: no trial, so no result. */
static int run_shell(struct work *w)
{
	struct err err = {0};

	for (int i = 0; i < SHELL_FDS; i++)
		fd_set_cloexec(SHELL_FD + i, true);
	if (!prepare(w, &err) && !drop_privileges(w, &err) && !watch_signals(w, &err) &&
	    !work_shell(w, &err))
		return 0;
	json_t *e = work_event(EVENT_SHELL_FAILED);
	json_put_str(e, "text", err.msg);
	json_put_bool(e, "usage", err.kind == ERR_USAGE);
	work_say(w, e);
	return 3;
}

/* What its agent's output tells stands with what its tests wrote, by whose names it goes. */
static void add_counted(struct result *r)
{
	for (size_t i = 0; r->has_agent && i < r->agent.counted_n; i++)
		if (!metrics_find(&r->metrics, r->agent.counted[i].name))
			metrics_add(&r->metrics, r->agent.counted[i].name,
				    r->agent.counted[i].value, true);
}

/* A machine that stood still was paid for as well. */
static void take_machine(struct work *w)
{
	json_t *m = json_is_object(w->attempt.machine) ? json_deep_copy(w->attempt.machine) : NULL;
	const double sec = (double)(clock_mono_ns() - w->begun_ns) / 1e9,
		     hour = json_get_real(m, "usd_per_hour", -1);

	w->result.machine = m;
	if (!m)
		return;
	json_put_real(m, "seconds", sec);
	if (hour >= 0)
		json_put_real(m, "usd", sec / 3600 * hour * json_get_real(m, "share", 1));
}

static int finish(struct work *w, struct err *err)
{
	work_phase(w, PHASE_DONE, 0);
	w->phase = NULL;
	add_counted(&w->result);
	w->result.frozen_ms = clock_stood_still_ms();
	take_machine(w);
	AUTO(json) json_t *result = result_to_json(&w->result);
	if (json_write(w->run_fd, ATTEMPT_RESULT, result, w->attempt.sync, err))
		return -1;
	json_t *e = work_event(EVENT_FINISHED);
	json_put_str(e, "outcome", outcome_name(w->result.outcome));
	json_put_str(e, "digest", w->result.agent.digest);
	work_say(w, e);
	event_send(w->event_fd, &w->events);
	return 0;
}

static void anchor(char **path, const char *root)
{
	char *given = *path;

	if (!given || *given == '/')
		return;
	*path = path_join(root, given);
	free(given);
}

/* A trial that came here in a folder of its own names nothing outside of it; a sandbox wants to be told of places. */
static int anchor_paths(struct attempt *a, struct err *err)
{
	AUTO(free) char *root = getcwd(NULL, 0);
	size_t i;
	json_t *m;

	if (!root)
		return err_set(err, ERR_INFRA, errno, "find the data root");
	anchor(&a->gateway, root);
	anchor(&a->control, root);
	json_array_foreach (json_object_get(a->agent_spec, "mounts"), i, m) {
		AUTO(free) char *host = xstrdup(json_get_str(m, "host", NULL));
		anchor(&host, root);
		json_put_str(m, "host", host);
	}
	return 0;
}

static int open_attempt(struct work *w, struct err *err)
{
	AUTO(json) json_t *j = NULL;

	w->root_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->root_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open the data root");
	w->run_fd = path_open_beneath(w->root_fd, w->dir, O_RDONLY | O_DIRECTORY, 0, err);
	if (w->run_fd < 0)
		return -1;
	w->trial_fd = openat(w->run_fd, "../..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->trial_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open the trial's directory");
	if (json_read(&j, w->run_fd, ATTEMPT_TRIAL, TRIAL_JSON_MAX, err) ||
	    attempt_from_json(&w->attempt, j, ATTEMPT_TRIAL, err) || anchor_paths(&w->attempt, err))
		return -1;
	AUTO(free) char *expected = datadir_attempt(w->attempt.trial.run_id, w->attempt.number);
	if (strcmp(expected, w->dir))
		return err_set(err, ERR_INFRA, 0, ATTEMPT_TRIAL " says %s, not %s", expected,
			       w->dir);
	return 0;
}

static void begin_result(struct work *w)
{
	const struct attempt *a = &w->attempt;

	w->result.run_id = xstrdup(a->trial.run_id);
	w->result.rollout_id = xstrdup(a->rollout_id);
	memcpy(w->result.key, a->trial.key, sizeof w->result.key);
	w->result.attempt = a->number;
	snprintf(w->result.task_hash, sizeof w->result.task_hash, "%s", a->trial.task_hash);
	w->result.program = install_build();
	w->result.regrade = a->regrade;
	if (json_object_size(json_object_get(a->tools, "programs")))
		w->result.tools = json_incref(json_object_get(a->tools, "programs"));
	if (json_object_size(json_object_get(a->tools, "versions")))
		w->result.tool_versions = json_incref(json_object_get(a->tools, "versions"));
	w->result.cpus = limits_cpus_here(&a->trial.limits);
	w->result.sandbox = xstrdup(sandbox_kind_name(a->trial.sandbox));
	w->result.around = a->around ? xstrdup(a->around) : NULL;
	w->app = path_join(a->trial.task_snapshot, SNAPSHOT_APP);
}

static void release(struct work *w)
{
	result_release(&w->result);
	attempt_release(&w->attempt);
	task_release(&w->task);
	repo_baseline_release(&w->baseline);
	buf_release(&w->gold);
	release_images(w);
	strv_release(&w->gold_paths);
	buf_release(&w->events);
	image_release(&w->image);
	image_release(&w->verifier_image);
	work_leave_agent(w);
	work_leave_judge(w);
	free(w->token);
	free(w->judge_token);
	free(w->app);
	free(w->verifier_shims);
	for (int i = 0; i < BOX_COUNT_; i++) {
		sandbox_inherited_free(w->inherited[i]);
		free(w->scratch[i]);
	}
}

/* What nobody below us is to inherit. */
static char *take_variable(const char *name)
{
	const char *value = getenv(name);
	char *copy = xstrdup(value ? value : "");

	unsetenv(name);
	return copy;
}

int trial_run(const char *attempt_dir)
{
	struct work w = {.root_fd = -1,
			 .run_fd = -1,
			 .trial_fd = -1,
			 .signal_fd = -1,
			 .gateway_fd = -1,
			 .event_fd = 1,
			 .dir = attempt_dir,
			 .begun_ns = clock_mono_ns(),
			 .gold = BUF_INIT,
			 .events = BUF_INIT};
	struct err err = {0};

	signal(SIGPIPE, SIG_IGN);
	umask(022);
	result_init(&w.result);
	w.token = take_variable("ROLLOUTS_TOKEN");
	w.judge_token = take_variable("ROLLOUTS_JUDGE_TOKEN");
	int status = 3;
	if (open_attempt(&w, &err)) {
		log_warn("%s", err.msg);
		release(&w);
		return status;
	}
	begin_result(&w);
	if (w.attempt.shell) {
		status = run_shell(&w);
		event_send(w.event_fd, &w.events);
		release(&w);
		return status;
	}
	if (run_phases(&w, &err)) {
		/* Without a supervisor the attempt is interrupted, not failed: leave no result. */
		if (supervisor_is_gone(&w)) {
			release(&w);
			return status;
		}
		record_failure(&w, &err);
	}
	if (w.attempt.agent_only && w.result.has_agent) {
		event_send(w.event_fd, &w.events);
		status = 0;
	} else if (finish(&w, &err))
		log_warn("%s", err.msg);
	else
		status = 0;
	release(&w);
	return status;
}
