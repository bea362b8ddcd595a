/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trial/phase-shell.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "agent/agent.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/event.h"
#include "eval/eval.h"
#include "trial/boxes.h"
#include "trial/entry-point.h"
#include "trial/phase-evaluate.h"

static void auto_sandbox(struct sandbox **s)
{
	sandbox_close(*s);
}

static bool is_mode(const struct work *w, const char *mode)
{
	return !strcmp(json_get_str(w->attempt.shell, "mode", ""), mode);
}

/* The agent's own sandbox once more, with what it did, all of it. */
static int open_agents(struct work *w, struct sandbox **box, char **refused, struct err *err)
{
	struct err none = {0};
	AUTO(fd) int patch = path_open_beneath(w->run_fd, ATTEMPT_DIFF, O_RDONLY, 0, err);
	AUTO(fd) int times = path_open_beneath(w->run_fd, ATTEMPT_DIFF_TIMES, O_RDONLY, 0, &none);

	if (patch < 0 || work_sandbox(w, box, BOX_AGENT, err))
		return -1;
	if (w->result.agent.diff_bytes && sandbox_apply(*box, patch, times, refused, err))
		return -1;
	return work_entry_point(w, *box, BOX_AGENT, err);
}

static int open_box(struct work *w, struct sandbox **box, char **refused, struct err *err)
{
	struct stat st;

	if (is_mode(w, "clean"))
		return work_sandbox(w, box, BOX_EVALUATE, err) ||
				       work_entry_point(w, *box, BOX_EVALUATE, err)
			       ? -1
			       : 0;
	if (!fstatat(w->run_fd, ATTEMPT_DIFF, &st, AT_SYMLINK_NOFOLLOW))
		w->result.agent.diff_bytes = st.st_size;
	return is_mode(w, "agent") ? open_agents(w, box, refused, err)
				   : work_open_graded(w, box, refused, err);
}

static void tell(struct work *w, const char *name, const char *text)
{
	json_t *e = work_event(name);

	json_put_str(e, "text", text);
	work_say(w, e);
}

/* The environment of the tests, or the agent's. */
static int surroundings(struct work *w, struct sandbox *box, struct strv *argv, struct strv *env,
			char **cwd, struct err *err)
{
	const char *test = json_get_str(w->attempt.shell, "test", NULL);
	const struct eval_job graded = {.attempt = &w->attempt,
					.task = &w->task,
					.step = w->step,
					.run_fd = w->run_fd,
					.agent = &w->result.agent};
	const struct agent_job worked = {.attempt = &w->attempt,
					 .task = &w->task,
					 .step = w->step,
					 .run_fd = w->run_fd,
					 .token = "",
					 .gateway_port = AGENT_GATEWAY_PORT};

	if (is_mode(w, "agent")) {
		agent_surroundings(env, cwd, &worked, box);
		return 0;
	}
	*cwd = xstrdup(w->task.layout.repo);
	if (eval_lay_out(&graded, box, test, argv, env, err))
		return -1;
	if (!env->n)
		sandbox_env(box, env);
	return 0;
}

/* The first shell that there is. */
static void shell_argv(struct strv *argv, const json_t *shell)
{
	json_get_strv(shell, "argv", argv);
	if (argv->n)
		return;
	strv_push(argv, "sh");
	strv_push(argv, "-c");
	strv_push(argv, "command -v bash >/dev/null 2>&1 && exec bash; exec sh");
}

static int run(struct work *w, struct sandbox *box, struct err *err)
{
	static const int descriptors[SHELL_FDS] = {SHELL_FD, SHELL_FD + 1, SHELL_FD + 2};
	AUTO(strv) struct strv argv = STRV_INIT, env = STRV_INIT;
	AUTO(free) char *cwd = NULL;
	struct sandbox_exit end;

	if (surroundings(w, box, &argv, &env, &cwd, err))
		return -1;
	if (!argv.n)
		shell_argv(&argv, w->attempt.shell);
	const struct sandbox_exec x = {
		.argv = strv_items(&argv),
		.env = strv_items(&env),
		.cwd = cwd,
		.user = is_mode(w, "agent") ? w->task.layout.agent_user : w->task.layout.test_user,
		.descriptors = descriptors,
		.terminal = json_get_bool(w->attempt.shell, "terminal", false),
		.at_end = SANDBOX_KILL_ALL,
	};
	work_phase(w, PHASE_EVALUATE, 0);
	if (sandbox_exec(box, &x, &end, err))
		return -1;
	json_t *e = work_event(EVENT_SHELL);
	json_put_int(e, "status", end.status);
	json_put_str(e, "stopped", end.end == SANDBOX_EXITED ? NULL : end.text);
	json_put_bool(e, "not_found", end.end == SANDBOX_NOT_FOUND);
	work_say(w, e);
	return 0;
}

/* The code may be another one. */
static void tell_program(struct work *w)
{
	const char *then = json_get_str(w->attempt.shell, "program", w->result.program);

	if (!strcmp(then, w->result.program))
		return;
	AUTO(free)
	char *text = xasprintf("it was graded by rollouts %s; this is %s", then, w->result.program);
	tell(w, EVENT_NOTE, text);
}

int work_shell(struct work *w, struct err *err)
{
	AUTO(sandbox) struct sandbox *box = NULL;
	AUTO(free) char *refused = NULL;

	tell_program(w);

	if (open_box(w, &box, &refused, err))
		return -1;
	for (size_t i = 0; i < w->result.suspect.n; i++)
		tell(w, EVENT_NOTE, w->result.suspect.v[i]);
	if (refused && !box)
		return err_set(err, ERR_USAGE, 0, "%s; --clean shows the start without it",
			       refused);
	if (refused)
		tell(w, EVENT_NOTE, refused);
	return run(w, box, err);
}
