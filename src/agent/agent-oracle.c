/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <sys/mman.h>
#include "agent/agent-env.h"
#include "agent/agent-kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/path.h"

static int apply_gold(const struct agent_job *job, struct sandbox *s, char **why, struct err *err)
{
	AUTO(fd) int fd = memfd_create("gold.patch", MFD_CLOEXEC);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memory for the gold diff");
	if (path_write_all(fd, job->gold, job->gold_len, err))
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "rewind the gold diff");
	return sandbox_apply(s, fd, -1, why, err);
}

/* A Harbor task's solution lies in /solution by now. How it ends counts for nothing, only what its tests say. */
static int run_solution(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
			struct err *err)
{
	static const char *const argv[] = {
		"bash", "-c", "(/solution/solve.sh) > /logs/agent/oracle.txt 2>&1", NULL};
	AUTO(strv) struct strv env = STRV_INIT;
	struct sandbox_exit end = {0};

	agent_env(&env, job, s);
	strv_setenv(&env, "DEBIAN_FRONTEND", "noninteractive");
	for (size_t i = 0; job->solution_env && i < job->solution_env->n; i++)
		strv_setenv(&env, job->solution_env->v[i].key, job->solution_env->v[i].value);
	AUTO(free) char *cwd = agent_start_dir(job);
	const struct sandbox_exec x = {.argv = argv,
				       .env = strv_items(&env),
				       .cwd = cwd,
				       .user = job->task->layout.agent_user,
				       .deadline_ms = job->deadline_ms,
				       .watch = job->watch,
				       .at_end = SANDBOX_LEAVE};
	if (sandbox_exec(s, &x, &end, err))
		return -1;
	out->metrics.wall_ms = end.wall_ms;
	out->metrics.cpu_ms = end.cpu_ms;
	out->metrics.memory_max = end.memory_max;
	out->exit_status = end.end == SANDBOX_EXITED ? end.status : -1;
	if (end.end == SANDBOX_TIMED_OUT)
		agent_end(out, OUTCOME_TIMEOUT, "timed out after %g s",
			  (double)job->attempt->trial.limits.timeout_ms / 1000);
	else if (end.end != SANDBOX_EXITED)
		agent_end(out, OUTCOME_AGENT_ERROR, "the task's solution cannot be run: %s",
			  end.text);
	return 0;
}

/* Applies the task's gold diff: what the tests say of the known solution. */
static int oracle_run(const struct agent_job *job, struct sandbox *s, struct agent_record *out,
		      struct err *err)
{
	AUTO(free) char *why = NULL;
	int64_t start = clock_mono_ms();

	if (job->task->harbor)
		return run_solution(job, s, out, err);
	if (!job->gold) {
		agent_end(out, OUTCOME_AGENT_ERROR, "the task has no gold diff to apply");
		return 0;
	}
	if (s && apply_gold(job, s, &why, err))
		return err_wrap(err, "oracle");
	if (why)
		agent_end(out, OUTCOME_AGENT_ERROR, "the task's gold diff does not apply: %s", why);
	out->metrics.wall_ms = clock_mono_ms() - start;
	return 0;
}

const struct agent_kind agent_oracle = {.name = "oracle", .run = oracle_run};
