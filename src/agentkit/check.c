/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What is found out: whether an agent starts here, finds its model, ends well, and is understood.
 */
#include "agentkit/agentkit.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/agent.h"
#include "agentkit/lookups.h"
#include "agentkit/stub.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "config/agents.h"
#include "core/datadir.h"
#include "os/user.h"
#include "sandbox/sandbox.h"

#define LOOKUPS_SOCKET "lookups.sock"

enum { CHECK_MS = 120 * 1000, MOUNTS = 64, LOG_TAIL = 2000 };

/* Shared with the processes that answer. */
struct seen {
	atomic_uint calls; /* of the model */
	struct lookups lookups;
};

struct check {
	char *dir; /* a temporary folder: data root and attempt in one */
	int dir_fd;
	struct attempt attempt;
	struct task task;
	struct task_step step;
	const char *backend;
	struct seen *seen;
	const struct agentkit_listener *listener;
};

/* What the child that ran the agent tells. */
struct told {
	struct err err; /* kind ERR_NONE: the agent ran */
	struct agent_record record;
};

static int listen_at(const char *path, struct err *err)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
	if (fd < 0 || strlen(path) >= sizeof to.sun_path ||
	    bind(fd, (struct sockaddr *)&to, sizeof to) || chmod(path, 0666) || listen(fd, 64))
		return err_set(err, ERR_INFRA, errno, "listen at %s", path);
	return fd_steal(&fd);
}

static int make_dir(struct check *c, struct err *err)
{
	static const char *const inside[] = {ATTEMPT_LOGS, ATTEMPT_ARTIFACTS};
	const char *tmp = getenv("TMPDIR");
	AUTO(free) char *dir =
		xasprintf("%s/rollouts-check-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp");

	if (!mkdtemp(dir))
		return err_set(err, ERR_INFRA, errno, "make %s", dir);
	c->dir = STEAL(&dir);
	c->dir_fd = open(c->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->dir_fd < 0 || chmod(c->dir, 0755))
		return err_set(err, ERR_INFRA, errno, "open %s", c->dir);
	bool root = user_may_change();
	for (size_t i = 0; i < ARRAY_SIZE(inside); i++)
		if (mkdirat(c->dir_fd, inside[i], 0700) ||
		    (root && fchownat(c->dir_fd, inside[i], USER_NOBODY, USER_NOBODY, 0)))
			return err_set(err, ERR_INFRA, errno, "prepare %s", c->dir);
	return root && fchown(c->dir_fd, USER_NOBODY, USER_NOBODY)
		       ? err_set(err, ERR_INFRA, errno, "prepare %s", c->dir)
		       : 0;
}

static int become_nobody(struct sandbox_spec *spec, struct err *err)
{
	if (!user_may_change())
		return 0;
	if (sandbox_inherited_open(&spec->inherited, spec, USER_NOBODY, USER_NOBODY, err))
		return -1;
	return user_become(USER_NOBODY, err);
}

static int run_boxed(const struct check *c, struct agent_job *job, const struct sandbox_spec *spec,
		     struct agent_record *out, struct err *err)
{
	static const char readme[] = "Nothing to do here.\n";
	struct sandbox *box = NULL;

	if (sandbox_open(&box, c->backend, spec, err))
		return -1;
	AUTO(free) char *path = path_join(job->task->layout.repo, "README.md");
	job->gateway_port = sandbox_gateway_port(box);
	const char *asked = job->step->instruction;
	int rc = sandbox_put(box, path, readme, strlen(readme), 0644, err) ||
				 sandbox_put(box, job->task->layout.instructions, asked,
					     strlen(asked), 0644, err)
			 ? -1
			 : agent_run(job, box, out, err);
	sandbox_close(box);
	return rc;
}

static int run_here(const struct check *c, struct agent_record *out, struct err *err)
{
	struct sandbox_mount mounts[MOUNTS];
	struct task task = c->task; /* this process ends with it */
	struct sandbox_spec spec = {
		.root_fd = c->dir_fd,
		.name = "check",
		.layout = &task.layout,
		.plain = !strcmp(c->backend, "landlock"),
		.scratch = "box",
		.workspace = WORKSPACE_COPY,
		.mounts = mounts,
		.mounts_n = agent_mounts(c->attempt.agent_spec, "mounts", mounts, MOUNTS - 1),
		.gateway = c->attempt.gateway,
		.gateway_port = AGENT_GATEWAY_PORT,
		.limits = limits_default,
		.cancel_fds = {-1, -1}};
	struct agent_job job = {.attempt = &c->attempt,
				.task = &task,
				.step = &c->step,
				.run_fd = c->dir_fd,
				.token = "check",
				.gateway_fd = open(c->attempt.gateway, O_PATH | O_CLOEXEC),
				.cancel_fds = {-1, -1}};

	if (fchdir(c->dir_fd))
		return err_set(err, ERR_INFRA, errno, "enter %s", c->dir);
	AUTO(free) char *lookups = path_join(c->dir, LOOKUPS_SOCKET);
	if (!spec.plain)
		mounts[spec.mounts_n++] =
			(struct sandbox_mount){.host = lookups, .box = LOOKUPS_BOX};
	if (spec.plain) {
		if (sandbox_plain_layout(&task.layout, c->dir_fd, spec.scratch, err))
			return -1;
		agent_unmount(c->attempt.agent_spec);
	}
	int rc = become_nobody(&spec, err);
	job.deadline_ms = clock_mono_ms() + CHECK_MS;
	if (!rc)
		rc = run_boxed(c, &job, &spec, out, err);
	sandbox_inherited_free(spec.inherited);
	return rc;
}

/* In a process of its own: it gives up its rights for good. */
static int run_child(const struct check *c, struct told *told, struct err *err)
{
	int fds[2], status;

	if (pipe2(fds, O_CLOEXEC))
		return err_set(err, ERR_INFRA, errno, "make a pipe");
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		*told = (struct told){0};
		if (run_here(c, &told->record, &told->err))
			told->err.kind = told->err.kind ? told->err.kind : ERR_INFRA;
		/* The pipe holds all of it. */
		_exit(write(fds[1], told, sizeof *told) == (ssize_t)sizeof *told ? 0 : 1);
	}
	close(fds[1]);
	size_t got = 0;
	for (ssize_t n; got < sizeof *told; got += (size_t)n)
		if ((n = read(fds[0], (char *)told + got, sizeof *told - got)) <= 0)
			break;
	close(fds[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || got != sizeof *told)
		return err_set(err, ERR_INFRA, 0, "the check itself failed");
	if (told->err.kind == ERR_NONE)
		return 0;
	*err = told->err;
	return -1;
}

static void tell_log(const struct check *c, const char *name)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err ignored;

	if (path_read_beneath(c->dir_fd, name, 64 << 20, &text, &ignored) || !text.len)
		return;
	size_t from = text.len > LOG_TAIL ? text.len - LOG_TAIL : 0;
	AUTO(free) char *title = xasprintf("the end of %s", name);
	c->listener->output(c->listener->arg, title, text.data + from, text.len - from);
}

/* One that asks no model has nothing to say of it. */
static bool is_understood(const struct agent_record *r, const char *api, unsigned calls)
{
	return (!*api && !calls) || (strstr(r->final_message, STUB_WORDS) &&
				     r->metrics.tokens_total == (int64_t)calls * STUB_TOKENS);
}

static void tell_success(const struct check *c, const struct agent_record *r, const char *api,
			 unsigned calls)
{
	const char *kind = json_get_str(c->attempt.agent_spec, "kind", "");
	char took[16], more[48] = "";

	clock_human(r->metrics.wall_ms, took);
	/* The built-in agent asks on until the model submits, which the stub never does. */
	if (calls > 1 && strcmp(kind, "bash") != 0)
		snprintf(more, sizeof more, ", in %u calls where one would do", calls);
	AUTO(free) char *tokens =
		*api ? xasprintf(", %lld tokens", (long long)r->metrics.tokens_total) : xstrdup("");
	AUTO(free)
	char *line = xasprintf("%s%s%s: works%s%s, %s%s%s", c->attempt.trial.agent,
			       *r->version ? " " : "", r->version,
			       *api ? " by " : ", asks no model", api, took, tokens, more);
	c->listener->said(c->listener->arg, line);
}

static int judge(const struct check *c, const struct agent_record *r, const char *api,
		 struct err *err)
{
	const char *name = c->attempt.trial.agent;
	unsigned calls = atomic_load(&c->seen->calls);

	if (r->outcome == OUTCOME_COMPLETED && is_understood(r, api, calls)) {
		tell_success(c, r, api, calls);
		return 0;
	}
	tell_log(c, ATTEMPT_AGENT_LOG);
	tell_log(c, ATTEMPT_AGENT_ERR);
	if (r->outcome != OUTCOME_COMPLETED)
		return err_set(err, ERR_INFRA, 0, "%s by %s: %s", name, api, r->reason);
	return err_set(err, ERR_INFRA, 0,
		       "%s by %s: it ended well, but its output was not understood: it said %lld "
		       "tokens, not the %u "
		       "of %u call%s, and \"%.60s\"",
		       name, api, (long long)r->metrics.tokens_total, calls * STUB_TOKENS, calls,
		       calls == 1 ? "" : "s", r->final_message);
}

/* Each is time that every trial loses, and a variable mostly keeps an agent from it (docs/agents.md). */
static void tell_lookups(const struct check *c, const char *api)
{
	AUTO(strv) struct strv lines = STRV_INIT;

	lookups_tell(&c->seen->lookups, &lines);
	for (size_t i = 0; i < lines.n; i++) {
		AUTO(free) char *line = xasprintf("%s%s%s: %s", c->attempt.trial.agent,
						  *api ? " by " : "", api, lines.v[i]);
		c->listener->said(c->listener->arg, line);
	}
}

static int check_api(struct check *c, const char *api, struct err *err)
{
	struct told told;

	free(c->attempt.trial.api);
	c->attempt.trial.api = xstrdup(api);
	atomic_store(&c->seen->calls, 0);
	atomic_store(&c->seen->lookups.n, 0);
	int rc = run_child(c, &told, err) || judge(c, &told.record, api, err) ? -1 : 0;
	tell_lookups(c, api);
	return rc;
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int check_all(struct check *c, struct err *err)
{
	const json_t *apis = json_object_get(c->attempt.agent_spec, "apis");
	AUTO(free) char *names = path_join(c->dir, LOOKUPS_SOCKET);
	AUTO(fd) int model = listen_at(c->attempt.gateway, err);
	AUTO(fd) int lookups = model < 0 ? -1 : listen_at(names, err);
	int rc = 0;
	size_t i;
	json_t *api;

	if (lookups < 0)
		return -1;
	pid_t stub = stub_start(model, &c->seen->calls),
	      resolver = lookups_start(lookups, &c->seen->lookups);
	if (stub < 0 || resolver < 0)
		rc = err_set(err, ERR_INFRA, errno, "start a process");
	if (!rc && !json_array_size(apis))
		rc = check_api(c, "", err);
	json_array_foreach (apis, i, api)
		if (!rc)
			rc = check_api(c, json_string_value(api), err);
	end(stub);
	end(resolver);
	return rc;
}

static bool needs_model(const struct check *c)
{
	return *json_get_str(c->attempt.agent_spec, "needs", "") != '\0';
}

static int prepare(struct check *c, const struct agent_query *q, struct err *err)
{
	AUTO(strv) struct strv problems = STRV_INIT;
	void *shared = mmap(NULL, sizeof *c->seen, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (shared == MAP_FAILED)
		return err_set(err, ERR_INFRA, errno, "map memory");
	c->seen = shared;

	if (agent_find(&c->attempt.agent_spec, q, &problems, err))
		return problems.n ? err_set(err, ERR_USAGE, 0, "%s", problems.v[0]) : -1;
	if (!json_array_size(json_object_get(c->attempt.agent_spec, "apis")) &&
	    (needs_model(c) || agent_is_builtin(q->name)))
		return err_set(err, ERR_USAGE, 0,
			       "agent \"%s\" names no apis: there is no model call to be tried",
			       q->name);
	c->attempt.number = 1;
	c->attempt.trial.agent = xstrdup(q->name);
	c->attempt.trial.model = xstrdup("stub");
	c->attempt.trial.task_id = xstrdup("check");
	c->attempt.trial.limits = limits_default;
	c->attempt.trial.limits.timeout_ms = CHECK_MS;
	c->task.layout = task_layout_prepared;
	c->step.instruction = xstrdup("Say that everything works.\n");
	return make_dir(c, err);
}

int agentkit_check(const struct agent_query *q, const char *backend,
		   const struct agentkit_listener *l, struct err *err)
{
	struct check c = {
		.dir_fd = -1, .attempt.trial.seed = -1, .backend = backend, .listener = l};
	struct err late;
	int rc = prepare(&c, q, err);

	if (!rc) {
		c.attempt.gateway = path_join(c.dir, "stub.sock");
		rc = check_all(&c, err);
	}
	if (c.dir_fd >= 0)
		close(c.dir_fd);
	if (c.dir && path_remove_tree(AT_FDCWD, c.dir, &late) && !rc) {
		*err = late;
		rc = -1;
	}
	if (c.seen)
		munmap(c.seen, sizeof *c.seen);
	free(c.dir);
	free(c.step.instruction);
	attempt_release(&c.attempt);
	return rc;
}
