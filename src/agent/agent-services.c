/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent/agent-services.h"
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include "agent/agent-env.h"
#include "agent/agent-template.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

enum { BEFORE_MS = 600 * 1000, READY_SEC = 60, ASK_MS = 10 * 1000, PAUSE_MS = 200, WORDS = 300 };

/* The last of what a command wrote. */
static void keep_tail(void *arg, int stream, const char *data, size_t n)
{
	buf_add_tail(arg, data, n, WORDS);
}

/* ARGV, which may hold templates, with what the agent has around it. Its status is in END. */
static int run(const struct agent_job *job, struct sandbox *s, const struct strv *argv,
	       int64_t deadline_ms, struct buf *words, struct sandbox_exit *end, struct err *err)
{
	AUTO(strv) struct strv env = STRV_INIT;
	AUTO(free) char *cwd = agent_start_dir(job);
	const struct sandbox_exec x = {.argv = strv_items(argv),
				       .env = (agent_env(&env, job, s), strv_items(&env)),
				       .cwd = cwd,
				       .user = job->task->layout.agent_user,
				       .on_output = keep_tail,
				       .on_output_arg = words,
				       .deadline_ms = deadline_ms,
				       .at_end = SANDBOX_LEAVE};

	return sandbox_exec(s, &x, end, err);
}

static void take_argv(struct strv *out, const json_t *argv, const struct agent_job *job)
{
	size_t i;
	json_t *v;

	json_array_foreach ((json_t *)argv, i, v)
		strv_take(out, agent_expanded(json_is_string(v) ? json_string_value(v) : "", job));
}

static bool went_well(const struct sandbox_exit *end)
{
	return end->end == SANDBOX_EXITED && WIFEXITED(end->status) && !WEXITSTATUS(end->status);
}

static int complain(const char *what, const struct buf *words, struct err *err)
{
	AUTO(buf) struct buf line = BUF_INIT;

	text_renders(&line, words->len ? words->data : "it said nothing", TEXT_TERMINAL_LINE);
	return err_set(err, ERR_INFRA, 0, "%s: %s", what, line.data);
}

static int run_before(const struct agent_job *job, struct sandbox *s, const json_t *argv,
		      struct err *err)
{
	AUTO(strv) struct strv command = STRV_INIT;
	AUTO(buf) struct buf words = BUF_INIT;
	struct sandbox_exit end = {0};

	/* A text is for a shell. */
	if (json_is_string(argv)) {
		strv_push(&command, "sh");
		strv_push(&command, "-c");
		strv_take(&command, agent_expanded(json_string_value(argv), job));
	}
	take_argv(&command, argv, job);
	if (run(job, s, &command, clock_mono_ms() + BEFORE_MS, &words, &end, err))
		return err_wrap(err, "before");
	if (went_well(&end))
		return 0;
	AUTO(free) char *what =
		xasprintf("before: %s failed", command.n ? command.v[command.n - 1] : "");
	return complain(what, &words, err);
}

/* Asked again until it says yes. */
static int wait_ready(const struct agent_job *job, struct sandbox *s, const char *name,
		      const json_t *service, struct err *err)
{
	AUTO(strv) struct strv ready = STRV_INIT;
	AUTO(buf) struct buf words = BUF_INIT;
	const int64_t sec = json_get_int(service, "ready_sec", READY_SEC),
		      until = clock_mono_ms() + sec * 1000;
	const struct timespec pause = {.tv_nsec = PAUSE_MS * 1000000L};

	take_argv(&ready, json_object_get(service, "ready"), job);
	while (ready.n) {
		struct sandbox_exit end = {0};
		if (run(job, s, &ready, clock_mono_ms() + ASK_MS, &words, &end, err))
			return err_wrap(err, "services.%s.ready", name);
		if (went_well(&end))
			return 0;
		if (clock_mono_ms() > until) {
			AUTO(free) char *what = xasprintf("services.%s was not ready after %lld s",
							  name, (long long)sec);
			return complain(what, &words, err);
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int start_service(const struct agent_job *job, struct sandbox *s, const char *name,
			 const json_t *service, struct err *err)
{
	AUTO(strv) struct strv command = STRV_INIT;
	AUTO(buf) struct buf words = BUF_INIT;
	struct sandbox_exit end = {0};

	strv_push(&command, "sh");
	strv_push(&command, "-c");
	strv_push(&command, "log=$1; shift; \"$@\" >\"$log\" 2>&1 </dev/null & kill -0 $!");
	strv_push(&command, "service");
	AUTO(free) char *usual = xasprintf("{home}/.rollouts/services/%s.log", name);
	strv_take(&command, agent_expanded(json_get_str(service, "log", usual), job));
	take_argv(&command, json_object_get(service, "argv"), job);
	AUTO(free) char *log = xstrdup(command.v[4]);
	if (sandbox_put(s, log, "", 0, 0644, err) ||
	    run(job, s, &command, clock_mono_ms() + ASK_MS, &words, &end, err))
		return err_wrap(err, "services.%s", name);
	if (!went_well(&end)) {
		AUTO(free) char *what = xasprintf("services.%s cannot be started", name);
		return complain(what, &words, err);
	}
	return wait_ready(job, s, name, service, err);
}

int agent_services_start(const struct agent_job *job, struct sandbox *s, struct err *err)
{
	const json_t *spec = job->attempt->agent_spec;
	const char *name;
	json_t *v;
	size_t i;

	json_array_foreach (json_object_get(spec, "before"), i, v)
		if (run_before(job, s, v, err))
			return -1;
	json_object_foreach (json_object_get(spec, "services"), name, v)
		if (start_service(job, s, name, v, err))
			return -1;
	return 0;
}
