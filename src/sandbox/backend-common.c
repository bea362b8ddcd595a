/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sandbox/backend-common.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/fdio.h"
#include "sandbox/holder.h"
#include "sandbox/rights.h"

#define DISK_WAIT_MS 200 /* for the measurement at the end of a command */
#define DISK_NOW_MS 1000 /* for the figure in a result */
#define DISK_EVERY_MS 1000
#define MADE_PER_MS 500LL	   /* files: the same */
#define WRITTEN_PER_MS (4LL << 20) /* 4 GB a second: more than two cores copy into the page cache */
#define DISK_SHARE 20		   /* a walk is followed by a pause so many times as long */
#define DIFF_MS 300000
#define REMOVE_MS 120000

static struct common_sandbox *downcast(struct sandbox *s)
{
	return (struct common_sandbox *)((char *)s - offsetof(struct common_sandbox, base));
}

/* Where a task's words and tests say /app/repo, they find the repository though its image has it elsewhere. */
static int link_repo(const struct task_layout *l, int scratch, struct err *err)
{
	const size_t n = strlen(l->app);

	if (strcmp(l->app, task_layout_prepared.app) ||
	    !strcmp(l->repo, task_layout_prepared.repo) ||
	    (!strncmp(l->repo, l->app, n) && l->repo[n] == '/') || path_exists(scratch, "app/repo"))
		return 0;
	return symlinkat(l->repo, scratch, "app/repo")
		       ? err_set(err, ERR_INFRA, errno, "link /app/repo to %s", l->repo)
		       : 0;
}

/* Where nothing can be mounted: those that have their place in the home folder. */
static int copy_caches(const struct sandbox_spec *spec, int scratch, struct err *err)
{
	const size_t n = strlen(task_layout_prepared.home);

	for (size_t i = 0; spec->plain && i < spec->caches_n; i++) {
		const struct sandbox_mount *c = &spec->caches[i];
		if (strncmp(c->box, task_layout_prepared.home, n) || c->box[n] != '/')
			return err_set(err, ERR_USAGE, 0,
				       "caches: %s cannot be shown at %s without mounts: give it a "
				       "place below ~/",
				       c->host, c->box);
		const char *to = c->box + 1; /* as sandbox_plain_layout has it */
		AUTO(free) char *parent = xstrndup(to, (size_t)(path_base(to) - to - 1));
		if (path_make_dirs(scratch, parent, 0755, err) ||
		    path_copy_tree(AT_FDCWD, c->host, scratch, to, err))
			return err_wrap(err, "caches");
	}
	return 0;
}

static int make_scratch(const struct sandbox_spec *spec, struct err *err)
{
	static const struct {
		const char *name;
		mode_t mode;
	} dirs[] = {{"tmp", 01777}, {"vartmp", 01777}, {"home", 0755}, {"diff", 0700}};

	if (mkdirat(spec->root_fd, spec->scratch, 0700))
		return err_set(err, ERR_INFRA, errno, "make directory %s", spec->scratch);
	AUTO(fd)
	int fd = path_open_beneath(spec->root_fd, spec->scratch, O_RDONLY | O_DIRECTORY, 0, err);
	if (fd < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdirat(fd, dirs[i].name, dirs[i].mode) ||
		    fchmodat(fd, dirs[i].name, dirs[i].mode, 0))
			return err_set(err, ERR_INFRA, errno, "make directory %s", dirs[i].name);
	if (spec->app ? path_copy_tree(spec->root_fd, spec->app, fd, "app", err)
		      : mkdirat(fd, "app", 0755) &&
				err_set(err, ERR_INFRA, errno, "make directory app"))
		return -1;
	return copy_caches(spec, fd, err) ? -1 : link_repo(spec->layout, fd, err);
}

static void take_measurement(struct common_sandbox *l, const struct holder_reply *r)
{
	int64_t pause = r->took_ms * DISK_SHARE;

	l->du_pending = false;
	if (!r->failed) {
		l->disk = r->bytes;
		l->base.disk_files = r->files;
		l->disk_at_ms = l->du_asked_ms;
	}
	l->du_next_ms = clock_mono_ms() + (pause > DISK_EVERY_MS ? pause : DISK_EVERY_MS);
}

/* Nobody measures any more what is written: PID 1 goes as well, as it does with bubblewrap's mount holder. */
static int holder_gone(struct common_sandbox *l, struct err *err)
{
	if (l->base.channel.sock >= 0)
		shutdown(l->base.channel.sock, SHUT_RDWR);
	err_set(err, ERR_INFRA, 0, "the sandbox's mount holder is gone");
	err->retry = true;
	return -1;
}

/* The holder's next message; a measurement is taken in passing. */
static int receive(struct common_sandbox *l, struct holder_reply *r, int *text, int64_t deadline_ms,
		   struct err *err)
{
	int fds[SANDBOX_OVERLAYS_MAX];
	size_t fds_n = ARRAY_SIZE(fds);

	if (channel_wait(&l->base.channel, l->sock, deadline_ms, err))
		return -1;
	ssize_t n = fd_recv(l->sock, r, sizeof *r, fds, &fds_n, 0, err);
	if (n < 0)
		return -1;
	if (n != sizeof *r)
		return holder_gone(l, err);
	if (r->op == HOLDER_DU && l->du_pending && r->seq == l->du_seq)
		take_measurement(l, r);
	size_t kept = 0;
	if (r->op == HOLDER_READY) {
		memcpy(l->trees, fds, sizeof fds);
		kept = l->trees_n = fds_n;
	} else if (text && fds_n) {
		*text = fds[0];
		kept = 1;
	}
	for (; kept < fds_n; kept++)
		close(fds[kept]);
	return 0;
}

static int ask(struct common_sandbox *l, struct holder_request *req, int fd, struct err *err)
{
	req->seq = ++l->seq;
	return l->sock < 0 || fd_send(l->sock, req, sizeof *req, &fd, fd >= 0, err) < 0
		       ? holder_gone(l, err)
		       : 0;
}

static int call(struct common_sandbox *l, enum holder_op op, int fd, int64_t timeout_ms,
		struct holder_reply *r, int *text, struct err *err)
{
	const int64_t deadline = clock_mono_ms() + timeout_ms;
	struct holder_request req = {.op = op, .deadline_ms = clock_for_others_ms(deadline)};

	if (ask(l, &req, fd, err))
		return -1;
	do
		if (receive(l, r, text, deadline + 1000, err))
			return -1;
	while (r->seq != req.seq);
	if (!r->failed)
		return 0;
	*err = r->err;
	return -1;
}

struct common_sandbox *common_new(const struct sandbox_backend *backend,
				  const struct sandbox_spec *spec, struct err *err)
{
	struct sandbox_inherited *own = NULL;

	if (!spec->inherited && sandbox_inherited_open(&own, spec, geteuid(), getegid(), err))
		return NULL;
	struct common_sandbox *l = xcalloc(1, sizeof *l);
	l->own = own;
	l->inherited = own ? own : spec->inherited;
	l->base = (struct sandbox){.backend = backend,
				   .spec = *spec,
				   .channel = CHANNEL_INIT,
				   .group = &l->inherited->group};
	memcpy(l->base.channel.cancel_fds, spec->cancel_fds, sizeof spec->cancel_fds);
	if (spec->plain) {
		l->plain_root = path_of_fd(spec->root_fd);
		l->base.top = path_join(l->plain_root, spec->scratch);
	}
	l->sock = -1;
	l->holder.pidfd = -1;
	if (!make_scratch(spec, err))
		return l;
	common_close(&l->base);
	return NULL;
}

static int64_t free_bytes(const struct common_sandbox *l)
{
	struct statvfs v;

	return fstatvfs(l->base.spec.root_fd, &v) ? 0 : (int64_t)v.f_bavail * (int64_t)v.f_frsize;
}

/* The pause after a long walk ends when so much was written on this disk meanwhile, by whomever, that we
 * may be above the ceiling: many small files must not buy the time for large ones. */
static bool is_due(const struct common_sandbox *l, int64_t now)
{
	const int64_t limit = l->base.spec.limits.disk_mb << 20;

	return now >= l->du_next_ms || (limit > 0 && l->free - free_bytes(l) > limit - l->disk);
}

static void measure(struct common_sandbox *l, int64_t now)
{
	struct holder_request req = {.op = HOLDER_DU};
	struct err ignored = {0};

	if (l->du_pending || !is_due(l, now))
		return;
	l->free = free_bytes(l);
	/* Once far above the ceiling the exact number no longer matters. */
	req.limit = (struct du){(l->base.spec.limits.disk_mb << 20) * 2,
				l->base.spec.limits.disk_files * 2};
	l->du_asked_ms = now;
	l->du_pending = !ask(l, &req, -1, &ignored);
	l->du_seq = req.seq;
}

int common_start(struct common_sandbox *l, int ctl, int errors, int64_t deadline_ms,
		 struct err *err)
{
	struct sandbox *s = &l->base;
	struct holder_reply ready;
	int serve[2];

	if (fd_socketpair_seq(serve, err))
		return -1;
	l->sock = serve[0];
	AUTO(fd) int serve_end = serve[1];
	struct holder_start start = {.spec = &s->spec,
				     .inherited = l->inherited,
				     .serve = serve_end,
				     .ctl = ctl,
				     .errors = errors,
				     .plain_root = l->plain_root};
	if (holder_fork(&l->holder, &start, err))
		return -1;
	close(fd_steal(&serve_end)); /* its death must be seen */
	if (receive(l, &ready, NULL, deadline_ms, err))
		return -1;
	if (ready.failed) {
		*err = ready.err;
		return -1;
	}
	for (size_t i = 0, k = 0; i < SANDBOX_OVERLAYS_MAX && k < l->trees_n; i++)
		if (i ? ready.cache_overlays >> (i - 1) & 1 : ready.overlay)
			l->tree_places[k++] = (int)i;
	s->workspace = !s->spec.baseline ? "none" : ready.overlay ? "overlay" : "copy";
	/* The first command need not wait for it. */
	measure(l, clock_mono_ms());
	return 0;
}

int common_start_here(struct common_sandbox *k, int (*explain)(int errors, struct err *err),
		      int64_t deadline_ms, struct err *err)
{
	struct sandbox *s = &k->base;
	struct cgroup *group = &k->inherited->group;
	int ctl[2], said[2];

	if (fd_pipe(said, err))
		return -1;
	AUTO(fd) int errors = said[0];
	AUTO(fd) int errors_end = said[1];
	if (fd_socketpair_seq(ctl, err))
		return -1;
	AUTO(fd) int ctl_end = ctl[1];
	if (channel_open(&s->channel, ctl[0], s->spec.cancel_fds, err) ||
	    common_start(k, ctl_end, errors_end, deadline_ms, err))
		return -1;
	/* PID 1 and whoever starts it hold the only other ends: that they are gone must be seen. */
	close(fd_steal(&ctl_end));
	close(fd_steal(&errors_end));
	if (channel_hello(&s->channel, deadline_ms, err))
		return err->kind == ERR_CANCELLED ? -1 : explain(errors, err);
	/* Before Linux 5.16 a worker that became another user may not move its processes any more. */
	if (!cgroup_is_used(group))
		cgroup_release(group);
	s->limits_held = group->path ? "cgroup" : "watched";
	return 0;
}

int common_start_forwarder(struct common_sandbox *l, struct err *err)
{
	struct sandbox *s = &l->base;
	struct proto_request req = {.op = PROTO_FORWARD, .port = (uint32_t)s->spec.gateway_port};
	struct proto_reply reply;

	if (!s->spec.gateway)
		return 0;
	return channel_call(&s->channel, &req, l->inherited->gateway.tree, &reply, NULL, err);
}

static char *read_text(int fd)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct err ignored = {0};

	if (fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 && path_read_fd(fd, 16u << 20, &b, &ignored))
		buf_reset(&b);
	return buf_detach(&b);
}

int common_apply(struct sandbox *s, int patch_fd, int times_fd, char **why, struct err *err)
{
	struct holder_reply r;
	AUTO(fd) int text = -1;

	*why = NULL;
	if (call(downcast(s), HOLDER_APPLY, patch_fd, DIFF_MS, &r, &text, err))
		return -1;
	if (r.refused)
		*why = read_text(text);
	if (r.refused || times_fd < 0)
		return 0;
	return call(downcast(s), HOLDER_TIMES, times_fd, DIFF_MS, &r, NULL, err);
}

int common_stop(struct sandbox *s, struct err *err)
{
	return channel_end(&s->channel, err);
}

int common_diff(struct sandbox *s, int out_fd, struct repo_diff *out, struct err *err)
{
	struct holder_reply r;
	AUTO(fd) int text = -1;
	AUTO(buf) struct buf lists = BUF_INIT;

	if (call(downcast(s), HOLDER_DIFF, out_fd, DIFF_MS, &r, &text, err))
		return -1;
	if (text < 0 || lseek(text, 0, SEEK_SET) || path_read_fd(text, 64u << 20, &lists, err))
		return err->kind ? -1 : err_retry(err, 0, "the holder's answer is not complete");
	*out = (struct repo_diff){.bytes = r.bytes,
				  .lines_added = r.lines_added,
				  .lines_removed = r.lines_removed,
				  .files = r.files,
				  .truncated = r.truncated};
	const char *at = lists.data;
	struct strv *const into[] = {&out->ignored, &out->skipped, &out->times, &out->hooks};
	const uint64_t n[] = {r.ignored_n, r.skipped_n, r.times_n, r.hooks_n};
	for (size_t k = 0; k < ARRAY_SIZE(into); k++)
		for (uint64_t i = 0; i < n[k]; i++, at += strlen(at) + 1)
			strv_push(into[k], at);
	return 0;
}

/* Whether the ceiling may have been passed since the last measurement: by what the disk lost in that time, or, since
 * others may have freed some meanwhile, by what a command could have written at the very most. */
static bool may_be_above(const struct common_sandbox *l, int64_t now)
{
	const int64_t limit = l->base.spec.limits.disk_mb << 20, room = limit - l->disk;

	const int64_t files = l->base.spec.limits.disk_files;

	if (files > 0 && (now - l->disk_at_ms) * MADE_PER_MS > files - l->base.disk_files)
		return true;
	return limit > 0 && (!l->disk_at_ms || (now - l->disk_at_ms) * WRITTEN_PER_MS > room ||
			     l->free - free_bytes(l) > room);
}

/* Whether nothing is under way any more. */
static bool take_pending(struct common_sandbox *l, int64_t deadline_ms)
{
	struct holder_reply r;
	struct err ignored = {0};

	while (l->du_pending)
		if (receive(l, &r, NULL, deadline_ms, &ignored))
			return false;
	return true;
}

int64_t common_disk_bytes(struct sandbox *s, enum sandbox_measure how)
{
	struct common_sandbox *l = downcast(s);
	const int64_t now = clock_mono_ms();
	const bool wait =
		how == SANDBOX_DISK_NOW || (how == SANDBOX_DISK_LIMIT && may_be_above(l, now));
	const int64_t until = now + (how == SANDBOX_DISK_NOW ? DISK_NOW_MS : DISK_WAIT_MS);

	if (s->spec.whole) /* nobody holds its files but the engine */
		return 0;
	if (how == SANDBOX_DISK_LIMIT && !wait)
		return l->disk;
	/* What is under way began before the command ended. */
	if (!take_pending(l, wait ? until : 1))
		return l->disk;
	if (how == SANDBOX_DISK_NOW || (wait && l->du_next_ms <= now + DISK_EVERY_MS))
		l->du_next_ms = 0;
	measure(l, now);
	if (wait)
		(void)take_pending(l, until);
	return l->disk;
}

static void end_holder(struct common_sandbox *l)
{
	if (l->sock >= 0)
		close(l->sock);
	l->sock = -1;
	spawn_kill(&l->holder, false);
}

void common_close_trees(struct common_sandbox *l)
{
	while (l->trees_n)
		close(l->trees[--l->trees_n]);
}

void common_close(struct sandbox *s)
{
	struct common_sandbox *l = downcast(s);
	struct err err = {0};
	struct holder_reply r;

	/* Cleaning up is not to be cancelled. */
	s->channel.cancel_fds[0] = s->channel.cancel_fds[1] = -1;
	if (channel_end(&s->channel, &err))
		log_warn("%s", err.msg);
	bool removed = !call(l, HOLDER_REMOVE, -1, REMOVE_MS, &r, NULL, &err);
	end_holder(l);
	common_close_trees(l);
	if (!removed && sandbox_remove_scratch(s->spec.root_fd, s->spec.scratch, &err))
		log_warn("%s", err.msg);
	if (s->service_args > 0)
		close(s->service_args);
	sandbox_inherited_free(l->own);
	free(l->plain_root);
	free(s->top);
	rights_way_free(s->way);
	free(l);
}
