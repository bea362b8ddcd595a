/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/sandbox.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/fdio.h"
#include "os/user.h"
#include "sandbox/backend.h"
#include "sandbox/du.h"
#include "sandbox/rights.h"
#include "sandbox/userns.h"

#define FRESHEN_MS 60000
static int check_running(const struct sandbox *s, struct err *err)
{
	return s->stopped ? err_set(err, ERR_INFRA, 0, "the sandbox has been stopped") : 0;
}

int sandbox_apply(struct sandbox *s, int patch_fd, int times_fd, char **why, struct err *err)
{
	return check_running(s, err) ? -1 : s->backend->apply(s, patch_fd, times_fd, why, err);
}

int sandbox_exec(struct sandbox *s, const struct sandbox_exec *x, struct sandbox_exit *out,
		 struct err *err)
{
	if (!x->argv || !x->argv[0])
		return err_set(err, ERR_USAGE, 0, "no command to run");
	if (check_running(s, err))
		return -1;
	int rc = run_command(s, x, out, err);
	if (s->way)
		rights_way_take(s->way);
	return rc;
}

int sandbox_serve(struct sandbox *s, const struct sandbox_exec *x, int log_fd, struct err *err)
{
	return check_running(s, err) ? -1 : run_serve(s, x, log_fd, err);
}

int sandbox_service(struct sandbox *s, enum sandbox_service *state, int *status, char *text,
		    size_t size, struct err *err)
{
	const struct proto_request req = {.op = PROTO_SERVICE};
	struct proto_args args = {0};
	struct proto_reply reply;

	*text = '\0';
	if (check_running(s, err) || channel_call(&s->channel, &req, -1, &reply, NULL, err))
		return -1;
	*status = reply.status;
	*state = reply.processes == PROTO_SERVICE_ENDED	  ? SERVICE_ENDED
		 : reply.processes == PROTO_SERVICE_READY ? SERVICE_READY
							  : SERVICE_RUNS;
	if (s->service_args > 0 && pread(s->service_args, &args, sizeof args, 0) == sizeof args &&
	    args.error)
		snprintf(text, size, "%s", strerror(args.error));
	return 0;
}

/* What ENV of the image sets the variable of PRESET to, "K=V"; NULL: nothing. */
static const char *of_image(const struct sandbox *s, const char *preset)
{
	const size_t n = strcspn(preset, "=") + 1;

	for (size_t i = 0; s->image_env && i < s->image_env->n; i++)
		if (!strncmp(s->image_env->v[i], preset, n))
			return s->image_env->v[i];
	return NULL;
}

void sandbox_env(const struct sandbox *s, struct strv *env)
{
	AUTO(free) char *tmp = xasprintf("TMPDIR=%s/tmp", s->top ? s->top : "");
	const char *const base[] = {tmp, "LANG=C.UTF-8", "TERM=dumb"};
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

	strv_pushf(env, "HOME=%s", s->spec.layout->home);
	for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
		const char *own = of_image(s, base[i]);
		strv_push(env, own ? own : base[i]);
	}
	/* A user's site that the image made has a place of its own. */
	if (s->spec.grading && !of_image(s, "PYTHONUSERBASE="))
		strv_push(env, "PYTHONNOUSERSITE=1");
	/* It traces the process that it looks at, and ends it where it may not. */
	if (s->spec.untraced)
		strv_push(env, "LSAN_OPTIONS=detect_leaks=0");
	/* Where the machine's /etc/gitconfig is there and may not be read, git gives up. */
	if (s->top)
		strv_push(env, "GIT_CONFIG_NOSYSTEM=1");
	for (size_t i = 0; s->spec.network && s->spec.image && i < s->spec.image->proxies.n; i++)
		strv_push(env, s->spec.image->proxies.v[i]);
	const char *own = of_image(s, "PATH=");
	if (own && own[5])
		path = own + 5;
	strv_setenv(env, "PATH", path);
}

int sandbox_freshen(struct sandbox *s, struct err *err)
{
	const char *home = s->spec.layout->home;
	AUTO(free) char *tmp = xasprintf("%s/tmp", s->top ? s->top : "");
	const bool keep =
		s->top && (s->spec.caches_n || !strncmp(s->spec.layout->repo, home, strlen(home)));
	const char *const plain[] = {"find",	tmp, keep ? tmp : home, "-mindepth", "1",
				     "-delete", NULL};
	const char *const mounted[] = {SANDBOX_KEEP_ALIVE, "empty",    home, "/tmp",
				       "/var/tmp",	   "/dev/shm", NULL};
	AUTO(strv) struct strv env = STRV_INIT;
	struct sandbox_exit end = {0};

	sandbox_env(s, &env);
	const struct sandbox_exec x = {.argv = s->top ? plain : mounted,
				       .env = strv_items(&env),
				       .cwd = "/",
				       .deadline_ms = clock_mono_ms() + FRESHEN_MS,
				       .at_end = SANDBOX_KILL_ALL};
	if (sandbox_exec(s, &x, &end, err))
		return -1;
	if (end.end == SANDBOX_EXITED && !end.status)
		return 0;
	err_set(err, ERR_INFRA, 0, "what an earlier script left cannot be removed");
	return err_from_box(err);
}

static int set_path(struct proto_request *req, const char *path, struct err *err)
{
	if (*path != '/' || strlen(path) >= sizeof req->path)
		return err_set(err, ERR_USAGE, 0, "not an absolute path in the sandbox: %.100s",
			       path);
	memcpy(req->path, path, strlen(path) + 1);
	return 0;
}

int sandbox_put(struct sandbox *s, const char *box_path, const void *data, size_t n, mode_t mode,
		struct err *err)
{
	struct proto_request req = {.op = PROTO_PUT, .mode = mode};
	struct proto_reply reply;

	if (check_running(s, err) || set_path(&req, box_path, err))
		return -1;
	AUTO(fd) int fd = memfd_create("put", MFD_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	if (path_write_all(fd, data, n, err))
		return -1;
	return channel_call(&s->channel, &req, fd, &reply, NULL, err);
}

int sandbox_get(struct sandbox *s, const char *box_path, struct err *err)
{
	struct proto_request req = {.op = PROTO_GET};
	struct proto_reply reply;
	int fd = -1;

	if (check_running(s, err) || set_path(&req, box_path, err))
		return -1;
	if (!channel_call(&s->channel, &req, -1, &reply, &fd, err) && fd >= 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return err->kind ? -1 : err_retry(err, 0, "%s was not passed on", box_path);
}

int sandbox_stats(struct sandbox *s, struct sandbox_stats *out, struct err *err)
{
	struct proto_request req = {.op = PROTO_STATS, .flags = PROTO_PRECISE};
	struct proto_reply reply;

	if (check_running(s, err) || channel_call(&s->channel, &req, -1, &reply, NULL, err))
		return -1;
	if (reply.memory > s->memory_max)
		s->memory_max = reply.memory;
	*out = (struct sandbox_stats){.memory = reply.memory,
				      .memory_max = s->memory_max,
				      .cpu_ms = reply.cpu_us / 1000,
				      .disk_bytes = s->backend->disk_bytes(s, SANDBOX_DISK_NOW),
				      .processes = reply.processes};
	return 0;
}

bool sandbox_has_network(const struct sandbox *s)
{
	return s->spec.network;
}

int sandbox_network(struct sandbox *s, bool on, struct err *err)
{
	return s->backend->network
		       ? s->backend->network(s, on, err)
		       : err_set(err, ERR_USAGE, 0, "sandbox %s has no network", s->backend->name);
}

int sandbox_stop(struct sandbox *s, struct err *err)
{
	if (s->backend->stop(s, err))
		return -1;
	s->stopped = true;
	return 0;
}

int sandbox_diff(struct sandbox *s, int out_fd, struct repo_diff *out, struct err *err)
{
	if (!s->stopped)
		return err_set(err, ERR_INFRA, 0,
			       "the sandbox still runs: stop it before its diff is taken");
	return s->backend->diff(s, out_fd, out, err);
}

int sandbox_gateway_port(const struct sandbox *s)
{
	return s->spec.gateway_port;
}

int sandbox_plain_layout(struct task_layout *l, int root_fd, const char *scratch, struct err *err)
{
	char *const paths[] = {l->app, l->repo, l->instructions, l->notes, l->home, l->results};
	AUTO(free) char *root = path_of_fd(root_fd);
	AUTO(free) char *top = path_join(root, scratch);

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		AUTO(free) char *path = xasprintf("%s%s", top, paths[i]);
		if (strlen(path) >= TASK_PATH_MAX)
			return err_set(err, ERR_INFRA, 0,
				       "the path of the data folder is too long for sandbox = "
				       "\"landlock\": choose another (--data-dir)");
		memcpy(paths[i], path, strlen(path) + 1);
	}
	return 0;
}

const char *sandbox_inside(const struct sandbox *s, const char *path)
{
	const size_t n = s->top ? strlen(s->top) : 0;

	return n && !strncmp(path, s->top, n) && path[n] == '/' ? path + n : path;
}

const char *sandbox_isolation(const struct sandbox *s)
{
	return s->isolation;
}

const char *sandbox_workspace(const struct sandbox *s)
{
	return s->workspace;
}

int64_t sandbox_disk_bytes(struct sandbox *s)
{
	const int64_t bytes = s->backend->disk_bytes(s, SANDBOX_DISK_NOW);

	return bytes == DU_TOO_DEEP ? -1 : bytes;
}

bool sandbox_oom_killed(const struct sandbox *s)
{
	return s->oom_killed;
}

const char *sandbox_limits_held(const struct sandbox *s)
{
	return s->limits_held;
}

void sandbox_close(struct sandbox *s)
{
	if (s)
		s->backend->close(s);
}

/* In a child, since a process cannot leave a user namespace again; its error comes back on a pipe. */
static _Noreturn void remove_inside(int root_fd, const char *scratch, int report)
{
	struct err err = {0};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (userns_enter(0, &err) || path_remove_tree(root_fd, scratch, &err)) {
		ssize_t ignored = write(report, &err, sizeof err);
		(void)ignored;
		_exit(1);
	}
	_exit(0);
}

int sandbox_remove_scratch(int root_fd, const char *scratch, struct err *err)
{
	struct err why = {0};
	int report[2], status;

	if (!path_exists(root_fd, scratch))
		return 0;
	if (!path_remove_tree(root_fd, scratch, &why))
		return 0;
	/* The helper's namespace cannot map files of several users, nor does root need it. */
	if (user_may_change()) {
		*err = why;
		return -1;
	}
	if (fd_pipe(report, err))
		return -1;
	pid_t pid = fork();
	if (pid == 0)
		remove_inside(root_fd, scratch, report[1]);
	close(report[1]);
	ssize_t n = pid < 0 ? -1 : read(report[0], &why, sizeof why);
	close(report[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return err_set(err, ERR_INFRA, errno, "fork");
	if (status == 0)
		return 0;
	if (n == (ssize_t)sizeof why)
		*err = why;
	else
		err_retry(err, 0, "the helper died");
	return err_wrap(err, "remove %s", scratch);
}
