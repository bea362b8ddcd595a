/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * run.c -- one command in a box: start it, carry its output away, watch the clock, memory and disk, and
 * end it. One poll loop; every way of ending early goes through one sweep by PID 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "os/fdio.h"
#include "sandbox/accounts.h"
#include "sandbox/backend.h"
#include "sandbox/du.h"

#define TICK_MS 1000   /* of the memory and disk watch */
#define SWEEP_MS 10000 /* for PID 1 to kill everything; then PID 1 itself goes */
#define DRAIN_MS 5000  /* for pipes to end once nobody can hold them */
#define PIECE_BYTES 32768
/* Those of SANDBOX_CAPABILITIES, by the kernel's numbers. */
#define WHOLE_CAPABILITIES                                                                         \
	(1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10 | 1 << 18)

struct stream {
	int fd, number;
	struct capped_log *log;
};

struct run {
	struct sandbox *s;
	const struct sandbox_exec *x;
	struct sandbox_exit *out;
	struct stream streams[2];
	int args;	     /* the args file: tells why a program did not start */
	int64_t deadline_ms; /* x->deadline_ms, or what x->watch made of it */
	int64_t next_tick_ms, give_up_ms, drain_until_ms;
	int64_t oom_kills; /* of the group before */
	int64_t unlinked;  /* bytes of open files without a name, at the last tick */
	bool exited, killing, swept, cancelled, stats_pending;
};

static void run_release(struct run *r)
{
	for (int i = 0; i < 2; i++)
		if (r->streams[i].fd >= 0)
			close(r->streams[i].fd);
	if (r->args >= 0)
		close(r->args);
}

static int memory_file(const char *name, const void *data, size_t n, struct err *err)
{
	AUTO(fd) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "memfd_create");
	if (path_write_all(fd, data, n, err))
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_set(err, ERR_INFRA, errno, "lseek");
	return fd_steal(&fd);
}

static uint32_t add_strings(struct buf *b, const char *const *v)
{
	uint32_t n = 0;

	for (; v && v[n]; n++)
		buf_add(b, v[n], strlen(v[n]) + 1);
	return n;
}

static bool has_variable(const char *const *env, const char *pair)
{
	const size_t len = strcspn(pair, "=") + 1;

	for (; env && *env; env++)
		if (!strncmp(*env, pair, len))
			return true;
	return false;
}

/* What a command is given goes before what its image says. */
static void complete_env(struct strv *out, const char *const *given, const struct strv *image)
{
	if (given)
		strv_pushv(out, given);
	for (size_t i = 0; image && i < image->n; i++)
		if (!has_variable(given, image->v[i]))
			strv_push(out, image->v[i]);
}

static int make_args(struct run *r, struct proto_request *req, struct err *err)
{
	AUTO(buf) struct buf b = BUF_INIT;
	const char *cwd = r->x->cwd ? r->x->cwd : "/";

	buf_add(&b, &(struct proto_args){0}, sizeof(struct proto_args));
	buf_add(&b, cwd, strlen(cwd) + 1);
	req->argc = add_strings(&b, r->x->argv);
	AUTO(strv) struct strv env = STRV_INIT;
	complete_env(&env, r->x->env, r->s->image_env);
	req->envc = add_strings(&b, strv_items(&env));
	r->args = memory_file("args", b.data, b.len, err);
	return r->args < 0 ? -1 : 0;
}

/* Standard input is a sealed memory file, not a pipe: nothing to feed, and nothing the command could grow. */
static int make_input(const struct sandbox_exec *x, struct err *err)
{
	if (!x->input)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	AUTO(fd) int fd = memory_file("input", x->input, x->input_len, err);
	if (fd < 0)
		return -1;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return err_set(err, ERR_INFRA, errno, "seal the input");
	return fd_steal(&fd);
}

/* A pipe for one stream, read here; or /dev/null when nobody wants it. The caller owns the returned end. */
static int make_output(struct run *r, int number, struct capped_log *log, struct err *err)
{
	struct stream *st = &r->streams[number - 1];
	int ends[2];

	if (!log && !r->x->on_output)
		return open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd_pipe(ends, err))
		return -1;
	/* Lets a command of another user open /dev/stdout. */
	if (fchmod(ends[1], 0622)) {
		/* only a comfort */
	}
	fd_set_nonblock(ends[0], true);
	*st = (struct stream){.fd = ends[0], .number = number, .log = log};
	return ends[1];
}

static int set_user(const struct run *r, struct proto_request *req, struct err *err)
{
	const struct image *image = r->s->spec.image;
	const char *user = r->x->user;

	if (r->s->spec.whole) {
		req->caps = WHOLE_CAPABILITIES;
		req->flags |= r->s->spec.privileges ? PROTO_PRIVILEGES : 0;
		if (!user || !*user)
			user = image->user;
	}
	if (!user || !*user)
		return 0;
	if (!image)
		return err_set(
			err, ERR_USAGE, 0,
			"a local sandbox has one user, it cannot run a command as \"%.60s\": "
			"set sandbox = \"docker\"",
			user);
	req->flags |= PROTO_SET_USER;
	if (r->s->spec.whole)
		req->groups_n = (uint32_t)accounts_groups(image, user, req->groups, PROTO_GROUPS);
	return accounts_find(image, user, &req->uid, &req->gid, err);
}

/* Whether what the command started may outlive it. */
static bool leaves(const struct run *r)
{
	return r->s->spec.whole || r->x->at_end == SANDBOX_LEAVE;
}

static int start(struct run *r, struct err *err)
{
	const struct limits *l = &r->s->spec.limits;
	struct proto_request req = {
		.op = PROTO_EXEC,
		.flags = (!leaves(r) ? PROTO_KILL_AT_END : 0) |
			 (r->x->terminal ? PROTO_TERMINAL : 0) |
			 (r->s->spec.untraced ? PROTO_UNTRACED : 0),
		.nofile = (uint64_t)l->files,
		/* Of a container the engine counts; there the number would hold for all of our user's processes. */
		.nproc = r->s->image_env ? 0 : (uint64_t)l->pids,
		.fsize = (uint64_t)l->disk_mb << 20,
	};

	if (set_user(r, &req, err) || make_args(r, &req, err))
		return -1;
	const int *own = r->x->descriptors;
	if (own)
		return channel_send(&r->s->channel, &req, (int[]){r->args, own[0], own[1], own[2]},
				    4, err);
	AUTO(fd) int in = make_input(r->x, err);
	AUTO(fd) int out = in < 0 ? -1 : make_output(r, 1, r->x->out, err);
	/* One pipe keeps the order of the two streams where nobody needs them apart. */
	bool shared = r->x->joined || (r->x->out && r->x->out == r->x->err && !r->x->on_output);
	AUTO(fd)
	int errors = out < 0  ? -1
		     : shared ? fcntl(out, F_DUPFD_CLOEXEC, 3)
			      : make_output(r, 2, r->x->err, err);
	if (errors < 0)
		return err->kind ? -1 : err_set(err, ERR_INFRA, errno, "prepare a command");
	return channel_send(&r->s->channel, &req, (int[]){r->args, in, out, errors}, 4, err);
}

int run_serve(struct sandbox *s, const struct sandbox_exec *x, int log_fd, struct err *err)
{
	struct run r = {.s = s, .x = x, .args = -1, .streams = {{.fd = -1}, {.fd = -1}}};
	struct proto_request req = {.op = PROTO_SERVE,
				    .nofile = (uint64_t)s->spec.limits.files,
				    .fsize = (uint64_t)s->spec.limits.disk_mb << 20};
	struct proto_reply reply;
	int rc = -1;

	AUTO(fd) int in = make_input(x, err);
	if (in >= 0 && (!s->spec.whole || !set_user(&r, &req, err)) && !make_args(&r, &req, err) &&
	    !channel_send(&s->channel, &req, (int[]){r.args, in, log_fd, log_fd}, 4, err))
		rc = channel_receive(&s->channel, &reply, NULL, err);
	if (!rc && reply.error)
		rc = err_set(err, ERR_INFRA, reply.error, "start the image's entry point");
	/* The child says in its arguments why its program did not run, a moment later. */
	s->service_args = r.args;
	r.args = -1;
	run_release(&r);
	return rc;
}

/* End everything for REASON; the loop goes on until PID 1 has reported. */
static int kill_all(struct run *r, enum sandbox_end reason, struct err *err)
{
	if (r->killing)
		return 0;
	r->killing = true;
	r->out->end = reason;
	r->give_up_ms = clock_mono_ms() + SWEEP_MS;
	const struct proto_request req = {.op = r->s->spec.whole ? PROTO_KILLTREE : PROTO_KILLALL};
	return channel_send(&r->s->channel, &req, NULL, 0, err);
}

static int ask_stats(struct run *r, bool precise, struct err *err)
{
	r->stats_pending = true;
	return channel_send(
		&r->s->channel,
		&(struct proto_request){.op = PROTO_STATS, .flags = precise ? PROTO_PRECISE : 0},
		NULL, 0, err);
}

/* As last measured. */
static bool has_too_many_files(const struct run *r)
{
	const int64_t limit = r->s->spec.limits.disk_files;

	return limit > 0 && r->s->disk_files > limit;
}

static void explain_disk(const struct run *r)
{
	struct sandbox_exit *out = r->out;

	if (out->disk_bytes < 0)
		snprintf(out->text, sizeof out->text,
			 "made folders more than %d levels deep, which nobody can measure",
			 DU_DEPTH_MAX);
	else if (has_too_many_files(r))
		snprintf(out->text, sizeof out->text,
			 "made %lld files and folders, the limit is %lld (disk_files)",
			 (long long)r->s->disk_files, (long long)r->s->spec.limits.disk_files);
	else
		snprintf(out->text, sizeof out->text,
			 "wrote %lld MB to disk, the limit is %lld MB (disk_mb)",
			 (long long)(out->disk_bytes >> 20), (long long)r->s->spec.limits.disk_mb);
}

static int64_t bytes_beside(const struct sandbox_spec *spec)
{
	int64_t sum = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(spec->counted); i++)
		if (spec->counted[i] &&
		    !fstatat(spec->root_fd, spec->counted[i], &st, AT_SYMLINK_NOFOLLOW))
			sum += st.st_size;
	return sum;
}

static int check_disk(struct run *r, enum sandbox_measure how, struct err *err)
{
	const int64_t limit = r->s->spec.limits.disk_mb << 20;
	const int64_t named = r->s->backend->disk_bytes(r->s, how);
	const bool too_deep = named == DU_TOO_DEEP;

	/* What has no name is gone with the processes that had it open. */
	r->out->disk_bytes =
		too_deep ? -1 : named + bytes_beside(&r->s->spec) + (r->exited ? 0 : r->unlinked);
	if (!has_too_many_files(r) && (limit <= 0 || (!too_deep && r->out->disk_bytes <= limit)))
		return 0;
	if (r->out->end == SANDBOX_EXITED)
		explain_disk(r);
	if (!r->exited)
		return kill_all(r, SANDBOX_NO_DISK, err);
	if (r->out->end == SANDBOX_EXITED)
		r->out->end = SANDBOX_NO_DISK;
	return 0;
}

static void say_no_memory(struct run *r)
{
	snprintf(r->out->text, sizeof r->out->text, "out of memory, the limit is %lld MB",
		 (long long)r->s->spec.limits.memory_mb);
}

/* Since the command began. */
static bool kernel_killed(struct run *r)
{
	if (!r->s->group->path || cgroup_oom_kills(r->s->group) <= r->oom_kills)
		return false;
	r->s->oom_killed = true;
	return true;
}

/* Where a cgroup holds the memory, the kernel has ended one process; the rest would only be confused. */
static int check_group(struct run *r, struct err *err)
{
	if (!kernel_killed(r) || r->out->end != SANDBOX_EXITED)
		return 0;
	say_no_memory(r);
	if (!r->exited)
		return kill_all(r, SANDBOX_NO_MEMORY, err);
	r->out->end = SANDBOX_NO_MEMORY;
	return 0;
}

/* PID 1 may be the last one left for the kernel to kill, of what a command holds in memory files. The box
 * is over then, but not for a fault of ours. */
static bool died_of_memory(struct run *r)
{
	if (!kernel_killed(r))
		return false;
	say_no_memory(r);
	r->out->end = SANDBOX_NO_MEMORY;
	r->out->status = SIGKILL;
	r->exited = r->swept = r->s->stopped = true;
	return true;
}

static int tick(struct run *r, struct err *err)
{
	r->next_tick_ms = clock_mono_ms() + TICK_MS;
	if (r->exited || r->killing)
		return 0;
	if (!r->stats_pending && ask_stats(r, false, err))
		return -1;
	return check_group(r, err) ? -1 : check_disk(r, SANDBOX_DISK_SOON, err);
}

static void note_memory(struct run *r, int64_t bytes)
{
	if (bytes > r->out->memory_max)
		r->out->memory_max = bytes;
	if (bytes > r->s->memory_max)
		r->s->memory_max = bytes;
}

/* The plain sum counts what processes share once for each: near the ceiling the costlier exact sum decides. */
static int on_stats(struct run *r, const struct proto_reply *reply, bool precise, struct err *err)
{
	const int64_t limit = r->s->spec.limits.memory_mb << 20;

	r->unlinked = reply->unlinked;
	/* Where a group holds it, the kernel decides: the sum may be above what it counts. */
	if (limit <= 0 || reply->memory <= limit || r->s->group->path) {
		note_memory(r, reply->memory);
		return 0;
	}
	if (!precise)
		return r->exited || r->killing ? 0 : ask_stats(r, true, err);
	note_memory(r, reply->memory);
	if (r->exited || r->killing)
		return 0;
	snprintf(r->out->text, sizeof r->out->text, "used %lld MB of memory, the limit is %lld MB",
		 (long long)(reply->memory >> 20), (long long)(limit >> 20));
	return kill_all(r, SANDBOX_NO_MEMORY, err);
}

static int on_exited(struct run *r, const struct proto_reply *reply, struct err *err)
{
	if (reply->error) {
		err_retry(err, reply->error, "start a command in the sandbox");
		return err_from_box(err);
	}
	r->exited = true;
	r->out->status = reply->status;
	r->out->left_running = reply->processes;
	r->out->cpu_ms = reply->cpu_us / 1000;
	r->drain_until_ms = clock_mono_ms() + DRAIN_MS;
	if (reply->memory > r->out->memory_max)
		note_memory(r, reply->memory);
	return 0;
}

static int on_reply(struct run *r, struct err *err)
{
	struct proto_reply reply;

	if (channel_receive(&r->s->channel, &reply, NULL, err))
		return -1;
	switch (reply.op) {
	case PROTO_EXITED:
		return on_exited(r, &reply, err);
	case PROTO_KILLALL:
		r->swept = true;
		return 0;
	case PROTO_STATS:
		r->stats_pending = false;
		return on_stats(r, &reply, reply.status & PROTO_PRECISE, err);
	default:
		return 0;
	}
}

/* 1: there may be more; 0: nothing now, or the end (the stream is closed then). */
static int carry(struct run *r, struct stream *st, struct err *err)
{
	char piece[PIECE_BYTES];
	ssize_t n = read(st->fd, piece, sizeof piece);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		close(st->fd);
		st->fd = -1;
		return 0;
	}
	if (st->log && capped_log_add(st->log, piece, (size_t)n, err))
		return -1;
	if (r->x->on_output)
		r->x->on_output(r->x->on_output_arg, st->number, piece, (size_t)n);
	return 1;
}

static bool streams_open(const struct run *r)
{
	return r->streams[0].fd >= 0 || r->streams[1].fd >= 0;
}

static bool finished(const struct run *r)
{
	if (!r->exited || (r->killing && !r->swept))
		return false;
	return leaves(r) || !streams_open(r);
}

static int64_t next_wakeup(const struct run *r)
{
	int64_t at = r->exited ? r->drain_until_ms : r->next_tick_ms;

	if (!r->exited && !r->killing && r->deadline_ms && r->deadline_ms < at)
		at = r->deadline_ms;
	if (r->killing && r->give_up_ms < at)
		at = r->give_up_ms;
	return at;
}

static bool is_late(const struct run *r)
{
	return r->deadline_ms && clock_mono_ms() >= r->deadline_ms;
}

/* The descriptor is not looked at any more once the end is near: what is left unread would wake us for ever. */
static bool is_watched(const struct run *r)
{
	return r->x->watch && !r->exited && !r->killing;
}

static int on_clock(struct run *r, bool news, struct err *err)
{
	if (is_watched(r) && (news || is_late(r)))
		r->deadline_ms = r->x->watch->deadline(r->x->watch->arg);
	if (!r->exited && !r->killing && is_late(r) && kill_all(r, SANDBOX_TIMED_OUT, err))
		return -1;
	const int64_t now = clock_mono_ms();
	if (now >= r->next_tick_ms)
		return tick(r, err);
	return 0;
}

/* PID 1 itself goes when its sweep does not end: the box is over, but the command's end is known. */
static int give_up(struct run *r, struct err *err)
{
	if (channel_end(&r->s->channel, err))
		return -1;
	r->s->stopped = true;
	r->out->status = SIGKILL;
	r->exited = r->swept = true;
	return 0;
}

static int step(struct run *r, struct err *err)
{
	const struct channel *c = &r->s->channel;
	struct pollfd p[6] = {{.fd = c->sock, .events = POLLIN}};

	for (int i = 0; i < 2; i++) {
		p[1 + i] = (struct pollfd){.fd = r->streams[i].fd, .events = POLLIN};
		p[3 + i] = (struct pollfd){.fd = r->cancelled ? -1 : c->cancel_fds[i],
					   .events = POLLIN};
	}
	p[5] = (struct pollfd){.fd = is_watched(r) ? r->x->watch->fd : -1, .events = POLLIN};
	if (fd_poll(p, ARRAY_SIZE(p), next_wakeup(r)) < 0)
		return err_set(err, ERR_INFRA, errno, "poll");
	for (int i = 0; i < 2; i++)
		if (p[1 + i].revents && carry(r, &r->streams[i], err) < 0)
			return -1;
	if (p[0].revents && on_reply(r, err))
		return -1;
	if (p[3].revents || p[4].revents) {
		r->cancelled = true;
		if (!r->exited && kill_all(r, SANDBOX_EXITED, err))
			return -1;
	}
	if (r->killing && !r->swept && clock_mono_ms() >= r->give_up_ms)
		return give_up(r, err);
	return on_clock(r, p[5].revents, err);
}

static int loop(struct run *r, struct err *err)
{
	while (!finished(r)) {
		if (step(r, err))
			return -1;
		if (r->exited && clock_mono_ms() >= r->drain_until_ms)
			break;
	}
	/* What a command left in its pipes before it ended; background processes may go on writing. */
	for (int i = 0; i < 2; i++)
		for (int more = 1; r->streams[i].fd >= 0 && more > 0;) {
			more = carry(r, &r->streams[i], err);
			if (more < 0)
				return -1;
			if (clock_mono_ms() >= r->drain_until_ms)
				break;
		}
	return 0;
}

static int not_started(struct run *r, struct err *err)
{
	struct proto_args args = {0};

	if (pread(r->args, &args, sizeof args, 0) != sizeof args || !args.error || r->killing)
		return 0;
	if (args.step == PROTO_STEP_SETUP) {
		err_set(err, ERR_INFRA, args.error, "prepare a command in the sandbox");
		return err_from_box(err);
	}
	r->out->no_folder = args.step == PROTO_STEP_CWD;
	r->out->end = SANDBOX_NOT_FOUND;
	const char *what = args.step == PROTO_STEP_CWD ? r->x->cwd : r->x->argv[0];
	snprintf(r->out->text, sizeof r->out->text, "%s%.100s: %s",
		 args.step == PROTO_STEP_CWD ? "cannot enter " : "", what, strerror(args.error));
	return 0;
}

int run_command(struct sandbox *s, const struct sandbox_exec *x, struct sandbox_exit *out,
		struct err *err)
{
	const bool watched = clock_watch(true);
	const int64_t began = clock_mono_ms();
	struct run r = {.s = s,
			.x = x,
			.out = out,
			.args = -1,
			.deadline_ms = x->deadline_ms,
			.streams = {{.fd = -1}, {.fd = -1}},
			.oom_kills = cgroup_oom_kills(s->group),
			.next_tick_ms = began + TICK_MS};

	*out = (struct sandbox_exit){.end = SANDBOX_EXITED};
	int rc = start(&r, err) || loop(&r, err) || not_started(&r, err) ? -1 : 0;
	out->wall_ms = clock_mono_ms() - began;
	if (rc && err->kind == ERR_INFRA && died_of_memory(&r)) {
		*err = (struct err){0};
		rc = 0;
	}
	if (!rc && r.cancelled)
		rc = err_set(err, ERR_CANCELLED, 0, "stopped on request");
	note_memory(&r, cgroup_memory_peak(s->group));
	if (!rc)
		rc = check_group(&r, err) ? -1 : check_disk(&r, SANDBOX_DISK_LIMIT, err);
	run_release(&r);
	clock_watch(watched);
	return rc;
}
