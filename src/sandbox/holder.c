/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/holder.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "os/fdio.h"
#include "sandbox/du.h"
#include "sandbox/network.h"
#include "sandbox/rootfs.h"
#include "sandbox/refusal.h"
#include "sandbox/rights.h"
#include "sandbox/userns.h"

#define FIRST_GONE_MS 10000
#define OOM_SCORE "500"
#define INOTIFY_SHARE 4 /* of what a user may have on the machine */

struct holder {
	const struct holder_start *start;
	struct rootfs rootfs;
	/* Absolute: the baseline, the workspace, the overlay's upper directory (NULL: none), a folder for a diff. */
	char *base, *work, *upper, *diff;
	pid_t first; /* bubblewrap, or without mounts PID 1 itself; 0: none, or reaped */
	int first_fd;
};

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Close everything above standard error but KEEP (sorted here): a mount holder that held its worker's pipes would
 * hide the worker's death. */
static void close_all_but(int *keep, size_t n)
{
	unsigned from = 3;

	qsort(keep, n, sizeof *keep, by_value);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < (int)from)
			continue;
		if (keep[i] > (int)from)
			close_range(from, (unsigned)keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	close_range(from, ~0U, 0);
}

static void keep_only_ours(const struct holder_start *k)
{
	const struct sandbox_inherited *r = k->inherited;
	AUTO(free) int *keep = xcalloc(r->mounts_n + SANDBOX_CACHES_MAX + 10, sizeof *keep);
	const int own[] = {k->serve,	 k->ctl,	k->errors,     k->spec->root_fd, r->seccomp,
			   r->init.tree, r->lower.tree, r->below.tree, r->group.procs};

	memcpy(keep, own, sizeof own);
	size_t n = ARRAY_SIZE(own);
	for (size_t i = 0; i < r->mounts_n; i++)
		keep[n++] = r->mounts[i].tree;
	for (size_t i = 0; i < SANDBOX_CACHES_MAX; i++)
		keep[n++] = r->caches[i].tree;
	close_all_but(keep, n);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		close(null);
	}
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void raise_open_files(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim))
		return;
	lim.rlim_cur = lim.rlim_max < 65536 ? lim.rlim_max : 65536;
	setrlimit(RLIMIT_NOFILE, &lim);
}

/* Of all that is in the sandbox, before the worker: commands raise their own, but not where /proc is read-only. */
static void raise_oom_score(void)
{
	prctl(PR_SET_DUMPABLE, 1); /* the file is ours only then; what comes next is an exec */
	AUTO(fd) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0)
		log_debug("cannot raise a sandbox's score for the kernel's killer: %s",
			  strerror(errno));
}

static void run_bwrap(const struct holder *k, char *const *argv)
{
	const struct holder_start *s = k->start;

	signal(SIGPIPE, SIG_DFL);
	dup2(s->errors, 2);
	if (s->spec->untraced)
		raise_oom_score();
	cgroup_join(&s->inherited->group);
	fd_cloexec_from(3);
	fd_set_cloexec(s->ctl, false);
	fd_set_cloexec(s->inherited->seccomp, false);
	execvp("bwrap", argv);
	dprintf(2, "bwrap: %s: install the package bubblewrap", strerror(errno));
	_exit(127);
}

static int start_first(struct holder *k, void (*run)(const struct holder *, char *const *),
		       char *const *argv, struct err *err)
{
	k->first = fork();
	if (k->first < 0)
		return err_set(err, ERR_INFRA, errno, "fork");
	if (k->first == 0)
		run(k, argv);
	/* Their other ends must see the end when PID 1 is gone, whatever we do. */
	close(k->start->ctl);
	close(k->start->errors);
	k->first_fd = pidfd_open(k->first, 0);
	return k->first_fd < 0 ? err_set(err, ERR_INFRA, errno, "pidfd_open") : 0;
}

/* Bubblewrap finds its own child in /proc by the number that it has here. */
static int mount_proc(struct err *err)
{
	if (!mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return 0;
	err_set(err, ERR_INFRA, errno, "cannot mount a /proc");
	return refusal_explain(err);
}

/* Of what the kernel counts for each user on the whole machine, a sandbox gets a part, so that one cannot leave the others, and the
 * user's own programs, without any. No more than tried: older kernels have no such switch. */
static void share_inotify(void)
{
	static const struct {
		const char *whole, *ours;
		long at_least;
	} shared[] = {
		{"/proc/sys/fs/inotify/max_user_instances", "/proc/sys/user/max_inotify_instances",
		 32},
		{"/proc/sys/fs/inotify/max_user_watches", "/proc/sys/user/max_inotify_watches",
		 8192},
	};

	for (size_t i = 0; i < ARRAY_SIZE(shared); i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		struct err ignored = {0};
		/* The first may not be shown in a container: then the least. */
		if (path_read(AT_FDCWD, shared[i].whole, 64, &text, &ignored))
			buf_reset(&text);
		const long whole = strtol(text.data, NULL, 10), part = whole / INOTIFY_SHARE;
		AUTO(fd) int fd = open(shared[i].ours, O_WRONLY | O_CLOEXEC);
		if (fd < 0 ||
		    dprintf(fd, "%ld\n", part > shared[i].at_least ? part : shared[i].at_least) < 0)
			log_debug("%s: %s", shared[i].ours, strerror(errno));
	}
}

static int start_bwrap(struct holder *k, struct err *err)
{
	const struct holder_start *s = k->start;
	AUTO(strv) struct strv argv = STRV_INIT;

	if (mount_proc(err) || network_enter(err))
		return -1;
	share_inotify();
	rootfs_command(&k->rootfs, &argv, s->spec, s->inherited, s->ctl);
	return start_first(k, run_bwrap, (char *const *)argv.v, err);
}

/* Bubblewrap's is made from ours. A container's filter of system calls may permit namespaces and refuse this, as Podman's does:
 * then the name is the container's. */
static void set_host_name(const char *name)
{
	if (!unshare(CLONE_NEWUTS) && sethostname(name, strnlen(name, HOST_NAME_MAX)))
		log_debug("the sandbox has no host name of its own: %s", strerror(errno));
}

static int set_up(struct holder *k, struct err *err)
{
	/* Of all mounts we hold a descriptor of, only those of the root and the working directory come along. */
	if (fchdir(k->start->spec->root_fd))
		return err_set(err, ERR_INFRA, errno, "enter the data directory");
	if (unshare(CLONE_NEWNS)) {
		err_set(err, ERR_INFRA, errno, "cannot make a mount namespace");
		return refusal_explain(err);
	}
	raise_open_files();
	set_host_name(k->start->spec->name);
	if (rootfs_build(&k->rootfs, k->start->spec, k->start->inherited, err) || chdir("/"))
		return -1;
	k->base = path_join(k->rootfs.dir, "base");
	k->work = path_join(k->rootfs.dir, "repo");
	k->upper = k->rootfs.overlay ? path_join(k->rootfs.dir, "layers/upper") : NULL;
	k->diff = path_join(k->rootfs.dir, "diff");
	/* A container engine starts PID 1 over what lies there now. */
	return k->start->ctl >= 0 ? start_bwrap(k, err) : 0;
}

/* By its descriptor: our user may not be able to reach its path. */
static void run_init(const struct holder *k, char *const *argv)
{
	const struct holder_start *s = k->start;
	static char *const env[] = {NULL};

	setsid();
	signal(SIGPIPE, SIG_DFL);
	dup2(s->errors, 2);
	cgroup_join(&s->inherited->group);
	fd_cloexec_from(3);
	fd_set_cloexec(s->ctl, false);
	syscall(SYS_execveat, s->inherited->init.tree, "", argv, env, AT_EMPTY_PATH);
	dprintf(2, "rollouts-init: %s", strerror(errno));
	_exit(127);
}

/* Without mounts: the scratch directory is what the agent sees, by its path. */
static int set_up_plain(struct holder *k, struct err *err)
{
	const struct holder_start *s = k->start;
	const struct sandbox_spec *spec = s->spec;
	AUTO(free) char *ctl = xasprintf("fd:%d", s->ctl);
	char *const argv[] = {(char *)HOLDER_INIT_NAME, ctl, NULL};

	/* What outlives PID 1 becomes our child. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		return err_set(err, ERR_INFRA, errno, "become a subreaper");
	raise_open_files();
	k->base = spec->baseline ? path_join(s->plain_root, spec->baseline) : NULL;
	k->work = xstrdup(spec->layout->repo);
	AUTO(free) char *scratch = path_join(s->plain_root, spec->scratch);
	k->diff = path_join(scratch, "diff");
	if (spec->baseline) {
		AUTO(free) char *repo = path_join(spec->baseline, BASELINE_REPO);
		if (path_copy_tree(spec->root_fd, repo, AT_FDCWD, k->work, err))
			return err_wrap(err, "copy the baseline");
	}
	return start_first(k, run_init, argv, err);
}

/* Each that dies leaves its children to us. */
static void kill_descendants(void)
{
	const int64_t deadline = clock_mono_ms() + FIRST_GONE_MS;
	pid_t reaped;

	while ((reaped = waitpid(-1, NULL, WNOHANG)) >= 0 && clock_mono_ms() < deadline) {
		FILE *f = reaped ? NULL : fopen("/proc/thread-self/children", "re");
		int pid;
		while (f && fscanf(f, "%d", &pid) == 1)
			kill(pid, SIGKILL);
		if (f)
			fclose(f);
		if (!reaped)
			poll(NULL, 0, 1);
	}
}

/* PID 1's end is what makes the workspace ours alone. It ends with bubblewrap, but not where that fails half way: its child
 * may then wait for it for ever. */
static int wait_first(struct holder *k, struct err *err)
{
	const int64_t deadline = clock_mono_ms() + FIRST_GONE_MS;
	struct pollfd p = {.fd = k->first_fd, .events = POLLIN};

	if (!k->first)
		return 0;
	if (fd_poll(&p, 1, deadline) <= 0 || !(p.revents & POLLIN))
		return err_set(err, ERR_INFRA, 0, "the sandbox still runs");
	close(k->first_fd);
	k->first = 0;
	if (k->start->plain_root) {
		kill_descendants();
		return 0;
	}
	/* We are PID 1 of the namespace that all of them are in. */
	kill(-1, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return 0;
}

static int text_file(const struct buf *text, struct err *err)
{
	AUTO(fd) int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	if (path_write_all(fd, text->data, text->len, err))
		return -1;
	return fd_steal(&fd);
}

static int serve_du(struct holder *k, const struct holder_request *req, struct holder_reply *r,
		    struct err *err)
{
	const struct sandbox_spec *spec = k->start->spec;
	const int64_t began = clock_mono_ns();
	AUTO(fd)
	int dir = openat(spec->root_fd, spec->scratch,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (dir < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", spec->scratch);
	const struct du found = du_measure(dir, &req->limit);
	r->bytes = found.bytes;
	r->files = found.files;
	r->took_ms = (clock_mono_ns() - began) / 1000000;
	return 0;
}

static int serve_apply(struct holder *k, const struct holder_request *req, int fd,
		       struct holder_reply *r, int *text, struct err *err)
{
	AUTO(free) char *why = NULL;
	AUTO(buf) struct buf b = BUF_INIT;

	if (repo_apply(k->base, k->work, fd, clock_from_others_ms(req->deadline_ms), &why, err))
		return -1;
	r->refused = why != NULL;
	if (!why)
		return 0;
	buf_adds(&b, why);
	*text = text_file(&b, err);
	return *text < 0 ? -1 : 0;
}

static int serve_times(struct holder *k, int fd, struct err *err)
{
	return repo_apply_times(k->work, fd, err);
}

static uint64_t add_list(struct buf *b, const struct strv *list)
{
	for (size_t i = 0; i < list->n; i++)
		buf_add(b, list->v[i], strlen(list->v[i]) + 1);
	return list->n;
}

static int serve_diff(struct holder *k, const struct holder_request *req, int fd,
		      struct holder_reply *r, int *text, struct err *err)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct repo_diff d = {0};

	if (wait_first(k, err))
		return -1;
	if (k->start->plain_root &&
	    rights_take(k->start->spec->root_fd, k->start->spec->scratch, err))
		return -1;
	struct repo_diff_spec spec = {.base = k->base,
				      .work = k->work,
				      .upper = k->upper,
				      .scratch = k->diff,
				      .out_fd = fd,
				      .max_bytes = k->start->spec->limits.diff_mb << 20,
				      .deadline_ms = clock_from_others_ms(req->deadline_ms)};
	int rc = repo_diff(&d, &spec, err);
	if (!rc) {
		r->bytes = d.bytes;
		r->lines_added = d.lines_added;
		r->lines_removed = d.lines_removed;
		r->files = d.files;
		r->truncated = d.truncated;
		r->ignored_n = add_list(&b, &d.ignored);
		r->skipped_n = add_list(&b, &d.skipped);
		r->times_n = add_list(&b, &d.times);
		r->hooks_n = add_list(&b, &d.hooks);
		*text = text_file(&b, err);
		rc = *text < 0 ? -1 : 0;
	}
	repo_diff_release(&d);
	return rc;
}

static int serve(struct holder *k, const struct holder_request *req, int fd, struct holder_reply *r,
		 int *text)
{
	const struct sandbox_spec *spec = k->start->spec;

	switch (req->op) {
	case HOLDER_DU:
		return serve_du(k, req, r, &r->err);
	case HOLDER_APPLY:
		return serve_apply(k, req, fd, r, text, &r->err);
	case HOLDER_TIMES:
		return serve_times(k, fd, &r->err);
	case HOLDER_DIFF:
		return serve_diff(k, req, fd, r, text, &r->err);
	case HOLDER_REMOVE:
		return wait_first(k, &r->err) ||
				       path_remove_tree(spec->root_fd, spec->scratch, &r->err)
			       ? -1
			       : 0;
	default:
		return err_set(&r->err, ERR_INFRA, 0, "unknown request %u", req->op);
	}
}

/* Until then, bubblewrap's end is everybody's. */
static void await_request(struct holder *k)
{
	for (;;) {
		struct pollfd p[] = {{.fd = k->start->serve, .events = POLLIN},
				     {.fd = k->first ? k->first_fd : -1, .events = POLLIN}};
		if (poll(p, ARRAY_SIZE(p), -1) > 0) {
			if (p[1].revents)
				(void)!wait_first(k, &(struct err){0});
			if (p[0].revents)
				return;
		}
	}
}

static void serve_for_ever(struct holder *k)
{
	struct holder_request req;
	struct err err = {0};

	for (;;) {
		AUTO(fd) int fd = -1;
		AUTO(fd) int text = -1;
		size_t fds_n = 1;
		await_request(k);
		if (fd_recv(k->start->serve, &req, sizeof req, &fd, &fds_n, 0, &err) != sizeof req)
			return;
		struct holder_reply r = {.op = req.op, .seq = req.seq};
		r.failed = serve(k, &req, fd, &r, &text) != 0;
		if (fd_send(k->start->serve, &r, sizeof r, &text, text >= 0, &err) < 0)
			return;
	}
}

/* The worker may have died before we could ask to die with it. */
static bool worker_is_gone(int serve)
{
	struct pollfd p = {.fd = serve};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static _Noreturn void holder_main(const struct holder_start *start, const struct err *failed)
{
	struct holder k = {.start = start};
	struct holder_reply ready = {.op = HOLDER_READY, .err = *failed};

	/* Without a PID namespace nothing ends with us: we see the end of the worker's socket, and end the rest. */
	if (!start->plain_root)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* A signal typed at the terminal is the worker's to handle. */
	setsid();
	reset_signals();
	keep_only_ours(start);
	if (worker_is_gone(start->serve))
		_exit(1);
	ready.failed = failed->kind != ERR_NONE ||
		       (start->plain_root ? set_up_plain : set_up)(&k, &ready.err) != 0;
	ready.overlay = k.rootfs.overlay;
	ready.cache_overlays = k.rootfs.cache_overlays;
	int trees[SANDBOX_OVERLAYS_MAX];
	size_t trees_n = 0;
	if (!ready.failed && start->spec->image)
		ready.failed = rootfs_detach(&k.rootfs, trees, &trees_n, &ready.err) != 0;
	if (fd_send(start->serve, &ready, sizeof ready, trees, trees_n, &(struct err){0}) < 0 ||
	    ready.failed)
		_exit(1);
	while (trees_n)
		close(trees[--trees_n]);
	serve_for_ever(&k);
	if (start->plain_root && k.first) {
		kill(k.first, SIGKILL);
		kill_descendants();
	}
	_exit(0);
}

static int plain_fork(pid_t *pid, struct err *err)
{
	fflush(NULL);
	*pid = fork();
	return *pid < 0 ? err_set(err, ERR_INFRA, errno, "fork") : 0;
}

int holder_fork(struct child *out, const struct holder_start *k, struct err *err)
{
	pid_t pid;
	int rc = k->plain_root ? plain_fork(&pid, err) : userns_fork(&pid, err);

	if (pid == 0)
		holder_main(k, rc ? err : &(struct err){0});
	if (rc)
		return -1;
	out->pid = pid;
	out->pidfd = pidfd_open(pid, 0);
	return out->pidfd < 0 ? err_set(err, ERR_INFRA, errno, "pidfd_open") : 0;
}
