// SPDX-License-Identifier: GPL-3.0-or-later
#include "launch/launch-local.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/strv.h"
#include "core/datadir.h"
#include "launch/admit.h"
#include "launch/orphans.h"
#include "os/cgroup.h"
#include "os/fdio.h"
#include "os/lines.h"
#include "os/network-env.h"
#include "os/spawn.h"
#include "os/user.h"

enum {
	LINE_MAX_BYTES =
		4 << 20, /* no event is as long: what is longer is dropped up to its newline */
	READ_BYTES = 64 << 10,
	FIRST_LINE_MS = 60000, /* a worker names its first phase at once */
};

struct slot {
	struct child child; /* pid 0: free */
	int out;	    /* our end of its event pipe, -1 once at its end */
	struct buf line;    /* the beginning of the next one */
	struct limits limits;
	cpu_set_t processors; /* on which it runs */
};

struct local {
	struct launch base;
	struct launch_spec spec;
	struct strv env; /* of workers, without a token */
	struct admit admit;
	bool grouped; /* sandboxes have control groups */
	struct slot *slots;
	size_t running;
	char *block; /* READ_BYTES, for every read */
};

static struct local *local_of(const struct launch *l)
{
	if (l->launcher != &launch_local)
		bug("not a local launcher");
	return (struct local *)l;
}

static int local_open(struct launch **out, const struct launch_spec *spec, struct err *err)
{
	if (access(spec->worker, X_OK))
		return err_set(err, ERR_INFRA, errno, "%s (is the installation complete?)",
			       spec->worker);
	struct local *l = xcalloc(1, sizeof *l);
	l->base.launcher = &launch_local;
	l->spec = *spec;
	worker_env_add(&l->env);
	admit_init(&l->admit);
	l->slots = xcalloc(spec->parallel, sizeof *l->slots);
	l->block = xmalloc(READ_BYTES);
	for (size_t i = 0; i < spec->parallel; i++)
		l->slots[i] = (struct slot){.child.pidfd = -1, .out = -1, .line = BUF_INIT};
	/* Where a control group was delegated to us, each sandbox gets a part of it. */
	l->grouped = cgroup_make_room();
	if (l->grouped)
		cgroup_sweep();
	*out = &l->base;
	return 0;
}

static bool local_fits(const struct launch *launch, const struct limits *limits)
{
	const struct local *l = local_of(launch);

	return admit_fits(&l->admit, limits, !l->running);
}

/* Agents' programs are where the plan says: it was made on this machine. */
static void local_place(struct launch *launch, struct attempt *a)
{
	const struct launch_spec *spec = &local_of(launch)->spec;

	a->gateway = (char *)spec->gateway;
	a->control = (char *)spec->control;
	a->uid = spec->uid_base && user_may_change() ? spec->uid_base + (uid_t)a->trial.index : 0;
}

/* The folder is the trial's user's by now, who may have put a link there. */
static int open_log(const struct local *l, const char *dir, struct err *err)
{
	AUTO(free) char *path = path_join(dir, ATTEMPT_WORKER_LOG);

	return path_open_beneath(l->spec.root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND,
				 0644, err);
}

static int start(struct local *l, const struct launch_job *job, const char *const *env,
		 struct err *err)
{
	struct slot *slot = &l->slots[job->id];
	const char *argv[] = {l->spec.worker, job->dir, NULL};
	AUTO(fd) int log = open_log(l, job->dir, err);
	int pipe[2];

	if (log < 0 || fd_pipe(pipe, err))
		return -1;
	AUTO(fd) int in = pipe[0];
	AUTO(fd) int out = pipe[1];
	struct spawn spawn = {.argv = argv,
			      .env = env,
			      .dir_fd = l->spec.root_fd,
			      .in = -1,
			      .out = out,
			      .err = log};
	/* A group of its own: an interrupt typed at the terminal is for us to pass on. */
	if (spawn_start(&slot->child, &spawn, true, err))
		return -1;
	fd_set_nonblock(in, true);
	slot->out = fd_steal(&in);
	return 0;
}

static void release(struct slot *slot)
{
	auto_fd(&slot->out);
	slot->out = -1;
	buf_release(&slot->line);
	slot->child = (struct child){0, -1};
}

static int local_submit(struct launch *launch, const struct launch_job *job, struct err *err)
{
	struct local *l = local_of(launch);
	struct slot *slot = &l->slots[job->id];
	AUTO(strv) struct strv env = STRV_INIT;

	if (job->token) {
		strv_pushv(&env, strv_items(&l->env));
		strv_setenv(&env, "ROLLOUTS_TOKEN", job->token);
		strv_setenv(&env, "ROLLOUTS_JUDGE_TOKEN", job->judge_token);
	}
	slot->limits = *job->limits;
	admit_take(&l->admit, job->limits, &slot->processors);
	/* A child has ours, whatever it becomes; the other threads keep theirs. */
	sched_setaffinity(0, sizeof slot->processors, &slot->processors);
	int e = start(l, job, strv_items(job->token ? &env : &l->env), err);
	sched_setaffinity(0, sizeof l->admit.processors, &l->admit.processors);
	if (e)
		admit_return(&l->admit, job->limits, &slot->processors);
	else
		l->running++;
	return e;
}

static size_t local_watch(const struct launch *launch, struct pollfd *fds)
{
	const struct local *l = local_of(launch);

	for (size_t i = 0; i < l->spec.parallel; i++) {
		fds[2 * i] = (struct pollfd){.fd = l->slots[i].child.pidfd, .events = POLLIN};
		fds[2 * i + 1] = (struct pollfd){.fd = l->slots[i].out, .events = POLLIN};
	}
	return 2 * l->spec.parallel;
}

/* Whom a line is handed on to. */
struct hearer {
	size_t id;
	launch_fn *fn;
	void *arg;
};

static void hand_on_line(void *arg, const char *line, size_t len)
{
	const struct hearer *h = arg;

	h->fn(h->arg,
	      &(struct launch_event){.kind = LAUNCH_LINE, .id = h->id, .line = line, .len = len});
}

/* True while there may be more to read at once. */
static bool read_lines(struct local *l, size_t id, launch_fn *fn, void *arg)
{
	struct slot *slot = &l->slots[id];
	ssize_t n = read(slot->out, l->block, READ_BYTES);

	if (n < 0)
		return errno == EINTR;
	if (n == 0) {
		auto_fd(&slot->out);
		slot->out = -1;
		return false;
	}
	lines_feed(&slot->line, l->block, (size_t)n, LINE_MAX_BYTES, hand_on_line,
		   &(struct hearer){id, fn, arg});
	return n == READ_BYTES;
}

/* The process has ended, the pipe may live on in others: what it said is in there already. */
static void finish(struct local *l, size_t id, launch_fn *fn, void *arg)
{
	struct slot *slot = &l->slots[id];
	struct err ignored;
	char text[48];
	int status = 0;

	while (slot->out >= 0 && read_lines(l, id, fn, arg))
		;
	/* In order it leaves nothing behind; otherwise its group may hold helpers that wait for it.
	 * Before it is reaped, while the number cannot be another's. */
	siginfo_t how = {0};
	if (!waitid(P_PID, (id_t)slot->child.pid, &how, WEXITED | WNOWAIT) &&
	    how.si_code != CLD_EXITED)
		kill(-slot->child.pid, SIGKILL);
	if (spawn_wait(&slot->child, 0, &status, &ignored))
		status = -1;
	release(slot);
	admit_return(&l->admit, &slot->limits, &slot->processors);
	l->running--;
	/* A worker that became another user could not remove its own group. */
	if (l->grouped)
		cgroup_sweep();
	fn(arg, &(struct launch_event){
			.kind = LAUNCH_ENDED, .id = id, .how = spawn_status_text(status, text)});
}

static void local_poll(struct launch *launch, const struct pollfd *fds, launch_fn *fn, void *arg)
{
	struct local *l = local_of(launch);

	for (size_t i = 0; i < l->spec.parallel; i++) {
		if (fds[2 * i].revents)
			finish(l, i, fn, arg);
		else if (fds[2 * i + 1].revents)
			read_lines(l, i, fn, arg);
	}
}

static void local_cancel(struct launch *launch, size_t id, enum launch_cancel how)
{
	const struct child *c = &local_of(launch)->slots[id].child;

	if (c->pid > 0)
		pidfd_send_signal(c->pidfd, how == LAUNCH_KILL ? SIGKILL : SIGTERM, NULL, 0);
}

static void local_close(struct launch *launch)
{
	struct local *l = local_of(launch);

	for (size_t i = 0; i < l->spec.parallel; i++) {
		spawn_kill(&l->slots[i].child, true);
		release(&l->slots[i]);
	}
	cgroup_leave_room();
	strv_release(&l->env);
	free(l->block);
	free(l->slots);
	free(l);
}

const struct launcher launch_local = {
	.name = "local",
	.first_line_ms = FIRST_LINE_MS,
	.open = local_open,
	.fits = local_fits,
	.place = local_place,
	.submit = local_submit,
	.end_strays = orphans_end,
	.watch = local_watch,
	.poll = local_poll,
	.cancel = local_cancel,
	.close = local_close,
};
