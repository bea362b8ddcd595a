/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/far-keeper.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/install.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "node/far-accounts.h"
#include "os/fdio.h"
#include "os/spawn.h"

enum {
	LOST_MS = 24 * 60 * 60 * 1000, /* nobody came for so long after what ran has ended */
	SILENT_MS = 90000,	       /* a connection that says nothing is none */
	PING_MS = 15000,
	CHUNK = 64 << 10,
	EVENTS_MAX = 1 << 30,
	BACKLOG = 128,
};

/* What runs asks for one file at a time. */
struct wish {
	int fd; /* of who asks; -1: nobody does */
	char *path;
	uint32_t id;
	int file; /* what has come; -1: nothing */
	bool sent;
};

struct keeper {
	const struct far_request *q;
	int dir_fd, data_fd, out_fd, events_fd, signal_fd, lock_fd;
	int line_fd, ask_fd, models_fd, control_fd; /* listening */
	struct frames frames;
	int connection;
	bool greeted, bye;
	int64_t heard_ms, pinged_ms, alone_ms;
	struct child run;
	int run_out;
	bool is_over; /* nothing runs, and all it said was read */
	bool told_left;
	struct buf events;
	size_t sent; /* bytes of them */
	int archive; /* on its way; -1: none is */
	bool archive_sent, archive_taken;
	struct wish wish;
	struct streams streams;
	uint32_t next_id;
};

static void drop_wish_file(struct keeper *k)
{
	auto_fd(&k->wish.file);
	k->wish.file = -1;
	k->wish.sent = false;
}

/* Agents see a gateway that is away for a while; workers see nothing. */
static void hang_up(struct keeper *k)
{
	streams_close(&k->streams, far_account_cut);
	frames_release(&k->frames);
	auto_fd(&k->connection);
	auto_fd(&k->archive);
	k->connection = k->archive = -1;
	k->archive_sent = k->archive_taken = false;
	k->greeted = k->told_left = false;
	k->alone_ms = clock_mono_ms();
	drop_wish_file(k);
}

static void answer_wish(struct keeper *k, const char *words)
{
	struct wish *w = &k->wish;

	if (w->fd < 0)
		return;
	if (send(w->fd, words, strlen(words), MSG_NOSIGNAL) < 0)
		log_warn("%s was asked for by somebody who left", w->path);
	close(w->fd);
	free(w->path);
	drop_wish_file(k);
	*w = (struct wish){.fd = -1, .file = -1};
}

static void take_wish(struct keeper *k)
{
	char path[4096];
	int fd = accept4(k->ask_fd, NULL, NULL, SOCK_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : recv(fd, path, sizeof path - 1, 0);

	if (n <= 1 || path[n - 1] != '\n') {
		auto_fd(&fd);
		return;
	}
	path[n - 1] = '\0';
	k->wish = (struct wish){.fd = fd, .path = xstrdup(path), .id = k->next_id++, .file = -1};
}

static int open_wish_file(struct keeper *k, struct err *err)
{
	AUTO(free) char *parent = path_folder(k->wish.path);

	unlinkat(k->data_fd, ".coming", 0);
	if (!path_is_inside(k->wish.path) || path_make_dirs(k->data_fd, parent, 0711, err))
		return -1;
	return path_open_beneath(k->data_fd, ".coming", O_WRONLY | O_CREAT | O_EXCL, 0600, err);
}

static void on_file(struct keeper *k, const struct frame *f)
{
	struct wish *w = &k->wish;
	struct err err = {0};

	if (w->fd < 0 || f->id != w->id)
		return;
	if (f->type == FRAME_FILE_END && f->len) {
		AUTO(free) char *why = xstrndup(f->data, f->len);
		answer_wish(k, why);
		return;
	}
	if (w->file < 0)
		w->file = open_wish_file(k, &err);
	if (w->file < 0 || (f->len && path_write_all(w->file, f->data, f->len, &err))) {
		answer_wish(k, *err.msg ? err.msg : "no such path");
		return;
	}
	if (f->type != FRAME_FILE_END)
		return;
	if (renameat(k->data_fd, ".coming", k->data_fd, w->path))
		answer_wish(k, strerror(errno));
	else
		answer_wish(k, "ok");
}

static void end_run(struct keeper *k, int signal)
{
	/* Who waits for a file does not hear a signal. */
	answer_wish(k, "it was stopped");
	if (k->run.pid > 0 && signal == SIGKILL)
		kill(-k->run.pid, SIGKILL);
	else if (k->run.pid > 0)
		pidfd_send_signal(k->run.pidfd, signal, NULL, 0);
}

static void on_log(struct keeper *k, const struct frame *f)
{
	struct stream *s = streams_find(&k->streams, f->id);
	struct err err;

	if (!s || f->len < 1 || (unsigned char)*f->data > 1)
		return;
	int file = s->files[(unsigned char)*f->data];
	if (file >= 0 && path_write_all(file, f->data + 1, f->len - 1, &err))
		log_warn("%s", err.msg);
}

static void on_spent(struct keeper *k, const struct frame *f)
{
	struct stream *s = streams_find(&k->streams, f->id);

	if (s)
		far_account_spent(s, f->data, f->len);
}

static void on_frame(void *arg, const struct frame *f)
{
	struct keeper *k = arg;
	AUTO(json) json_t *j = NULL;

	k->heard_ms = clock_mono_ms();
	switch ((enum frame_type)f->type) {
	case FRAME_HELLO:
		j = json_loadb(f->data, f->len, 0, NULL);
		k->greeted = true;
		k->sent = (size_t)json_get_int(j, "events", 0);
		if (k->sent > k->events.len)
			k->sent = k->events.len;
		for (size_t i = 0; i < k->streams.n; i++)
			far_account_again(&k->streams.v[i], &k->frames);
		break;
	case FRAME_FILE:
	case FRAME_FILE_END:
		on_file(k, f);
		break;
	case FRAME_TAKEN:
		k->archive_taken = true;
		break;
	case FRAME_STOP:
		end_run(k, SIGTERM);
		break;
	case FRAME_KILL:
		end_run(k, SIGKILL);
		break;
	case FRAME_BYE:
		k->bye = true;
		break;
	case FRAME_LOG:
		on_log(k, f);
		break;
	case FRAME_SPENT:
		on_spent(k, f);
		break;
	case FRAME_DATA:
	case FRAME_END:
	case FRAME_CREDIT:
		streams_hear(&k->streams, f);
		break;
	default:
		break;
	}
}

/* Each connection replaces the one before: that one may be dead and nobody know. */
static void take_connection(struct keeper *k)
{
	int fd = accept4(k->line_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	hang_up(k);
	k->connection = fd;
	frames_open(&k->frames, fd, fd);
	k->heard_ms = k->pinged_ms = clock_mono_ms();
}

static void take_client(struct keeper *k, int listener, bool is_worker)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	if (!k->greeted) {
		close(fd);
		return;
	}
	uint32_t id = k->next_id++;
	streams_add(&k->streams, id, fd, is_worker);
	frames_send(&k->frames, FRAME_OPEN, id, is_worker ? "c" : "m", 1);
}

/* True: the archive that this line names is at home, or there is none. */
static bool archive_is_there(struct keeper *k, const char *line, size_t len)
{
	AUTO(json) json_t *j = json_loadb(line, len, 0, NULL);
	const char *name = json_get_str(j, "archive", NULL);
	AUTO(json) json_t *head = json_object();
	AUTO(buf) struct buf text = BUF_INIT;

	if (!name || strchr(name, '/') || k->archive_taken) {
		k->archive_taken = false;
		auto_fd(&k->archive);
		k->archive = -1;
		return true;
	}
	if (k->archive >= 0)
		return false;
	k->archive = openat(k->out_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (k->archive < 0)
		return true; /* whoever unpacks it will say that it is missing */
	k->archive_sent = false;
	json_put_str(head, "name", name);
	json_put_int(head, "bytes", json_get_int(j, "bytes", -1));
	json_put_str(head, "sha256", json_get_str(j, "sha256", ""));
	json_format(&text, head, false);
	frames_send(&k->frames, FRAME_ARCHIVE, 0, text.data, text.len);
	return false;
}

static void send_archive(struct keeper *k)
{
	char block[CHUNK];

	while (k->archive >= 0 && !k->archive_sent && !frames_are_many(&k->frames)) {
		ssize_t n = read(k->archive, block, sizeof block);
		if (n > 0)
			frames_send(&k->frames, FRAME_ARCHIVE_BYTES, 0, block, (size_t)n);
		else
			frames_send(&k->frames, FRAME_ARCHIVE_END, 0, NULL, 0);
		k->archive_sent = n <= 0;
	}
}

static void send_events(struct keeper *k)
{
	send_archive(k);
	while (k->sent < k->events.len && !frames_are_many(&k->frames)) {
		const char *line = k->events.data + k->sent;
		const char *newline = memchr(line, '\n', k->events.len - k->sent);
		size_t len = newline ? (size_t)(newline + 1 - line) : 0;
		if (!newline || !archive_is_there(k, line, len - 1))
			break;
		for (size_t at = 0; at < len; at += CHUNK)
			frames_send(&k->frames, FRAME_EVENTS, 0, line + at,
				    len - at < CHUNK ? len - at : CHUNK);
		k->sent += len;
	}
	send_archive(k);
	if (k->is_over && k->sent == k->events.len && !k->told_left) {
		frames_send(&k->frames, FRAME_LEFT, 0, NULL, 0);
		k->told_left = true;
	}
}

static void send_all(struct keeper *k)
{
	struct wish *w = &k->wish;

	if (!k->greeted)
		return;
	if (w->fd >= 0 && !w->sent) {
		frames_send(&k->frames, FRAME_GET, w->id, w->path, strlen(w->path));
		w->sent = true;
	}
	send_events(k);
	if (clock_mono_ms() >= k->pinged_ms + PING_MS) {
		frames_send(&k->frames, FRAME_PING, 0, NULL, 0);
		k->pinged_ms = clock_mono_ms();
	}
}

static void hear_run(struct keeper *k)
{
	char block[CHUNK];
	ssize_t n = read(k->run_out, block, sizeof block);
	struct err err;
	int status;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		buf_add(&k->events, block, (size_t)n);
		if (path_write_all(k->events_fd, block, (size_t)n, &err))
			log_warn("%s", err.msg);
		return;
	}
	close(k->run_out);
	k->run_out = -1;
	k->is_over = true;
	if (spawn_wait(&k->run, 0, &status, &err))
		log_warn("%s", err.msg);
}

/* Once: a keeper that comes after one that was killed runs nothing again. */
static int start_run(struct keeper *k, struct err *err)
{
	const struct far_request *q = k->q;
	AUTO(free) char *node = install_libexec("rollouts-node");
	AUTO(free) char *dir = path_of_fd(k->dir_fd);
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(fd) int begun =
		openat(k->dir_fd, "begun", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int pipe[2];

	if (begun < 0 && errno == EEXIST) {
		k->is_over = true;
		return path_read(k->dir_fd, "events", EVENTS_MAX, &k->events, err);
	}
	if (begun < 0 || fd_pipe(pipe, err))
		return err_set(err, ERR_INFRA, errno, "%s/begun", dir);
	AUTO(fd) int out = pipe[1];
	k->run_out = pipe[0];
	fd_set_nonblock(k->run_out, true);
	strv_push(&argv, node);
	strv_push(&argv, "run");
	strv_pushf(&argv, "--data=%s/data", dir);
	strv_pushf(&argv, "--out=%s/out", dir);
	strv_pushf(&argv, "--ask=%s/" FAR_ASK, dir);
	strv_pushf(&argv, "--sockets=%s", dir);
	strv_pushf(&argv, "--cache=%s", q->cache);
	strv_pushf(&argv, "--cache-mb=%lld", (long long)q->cache_mb);
	strv_pushf(&argv, "--side-by-side=%lld", (long long)q->side_by_side);
	if (q->around)
		strv_pushf(&argv, "--around=%s", q->around);
	if (q->alone)
		strv_pushf(&argv, "--alone=%s", q->alone);
	strv_pushv(&argv, strv_items(&q->dirs));
	const struct spawn spawn = {.argv = strv_items(&argv),
				    .dir_fd = AT_FDCWD,
				    .in = -1,
				    .out = out,
				    .err = STDERR_FILENO};
	return spawn_start(&k->run, &spawn, true, err);
}

static int open_sockets(struct keeper *k, struct err *err)
{
	const struct {
		int *fd;
		const char *name;
		int type;
		mode_t mode;
	} all[] = {{&k->ask_fd, FAR_ASK, SOCK_STREAM, 0600},
		   {&k->models_fd, ROLLOUT_GATEWAY_SOCKET, SOCK_STREAM, 0666},
		   {&k->control_fd, ROLLOUT_CONTROL_SOCKET, SOCK_SEQPACKET, 0600},
		   {&k->line_fd, FAR_LINE, SOCK_STREAM, 0600}};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if ((*all[i].fd = fd_listen_at(k->dir_fd, all[i].name, all[i].type, all[i].mode,
					       err)) < 0)
			return -1;
	return 0;
}

static int open_keeper(struct keeper *k, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD, SIG_DFL);
	k->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	k->lock_fd = fd_lock(k->dir_fd, FAR_LOCK, clock_mono_ms() - 1, err);
	if (k->lock_fd < 0)
		return -1;
	if (path_make_dirs(k->dir_fd, "data/" DATA_PARCELS, 0711, err) ||
	    path_make_dirs(k->dir_fd, "out", 0700, err) ||
	    path_make_dirs(k->dir_fd, ROLLOUT_SOCKETS, 0700, err))
		return -1;
	k->data_fd = openat(k->dir_fd, "data", flags);
	k->out_fd = openat(k->dir_fd, "out", flags);
	k->events_fd = openat(k->dir_fd, "events", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (k->data_fd < 0 || k->out_fd < 0 || k->events_fd < 0)
		return err_set(err, ERR_INFRA, errno, "the folder of a job");
	return open_sockets(k, err) || start_run(k, err) ? -1 : 0;
}

static void take_signal(struct keeper *k)
{
	struct signalfd_siginfo info;

	if (read(k->signal_fd, &info, sizeof info) == sizeof info)
		end_run(k, SIGTERM);
}

enum { LINE, ASK, MODELS, CONTROL, SIGNAL, RUN, CONNECTION, FIXED };

static void turn(struct keeper *k)
{
	struct pollfd *fds = xcalloc(FIXED + k->streams.n, sizeof *fds);
	const bool writes = k->frames.waiting.len > k->frames.waiting_at;

	fds[LINE] = (struct pollfd){.fd = k->line_fd, .events = POLLIN};
	fds[ASK] = (struct pollfd){.fd = k->wish.fd < 0 ? k->ask_fd : -1, .events = POLLIN};
	fds[MODELS] = (struct pollfd){.fd = k->greeted ? k->models_fd : -1, .events = POLLIN};
	fds[CONTROL] = (struct pollfd){.fd = k->greeted ? k->control_fd : -1, .events = POLLIN};
	fds[SIGNAL] = (struct pollfd){.fd = k->signal_fd, .events = POLLIN};
	fds[RUN] = (struct pollfd){.fd = k->run_out, .events = POLLIN};
	fds[CONNECTION] = (struct pollfd){.fd = k->connection,
					  .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
	size_t n = streams_watch(&k->streams, fds + FIXED);
	if (poll(fds, FIXED + n, PING_MS) > 0) {
		streams_turn(&k->streams, fds + FIXED, n);
		if (fds[SIGNAL].revents)
			take_signal(k);
		if (fds[RUN].revents)
			hear_run(k);
		if (fds[ASK].revents)
			take_wish(k);
		if (fds[MODELS].revents)
			take_client(k, k->models_fd, false);
		if (fds[CONTROL].revents)
			take_client(k, k->control_fd, true);
		if (fds[CONNECTION].revents & ~POLLOUT && !frames_read(&k->frames, on_frame, k))
			hang_up(k);
		streams_sweep(&k->streams);
		if (fds[LINE].revents)
			take_connection(k);
	}
	free(fds);
	send_all(k);
	if (k->connection < 0)
		return;
	const bool broken = !frames_write(&k->frames);
	/* Its last word may be there already. */
	if (broken)
		frames_read(&k->frames, on_frame, k);
	if (broken || clock_mono_ms() >= k->heard_ms + SILENT_MS)
		hang_up(k);
}

/* It stays until all is at home. */
static void tidy(struct keeper *k)
{
	AUTO(free) char *dir = path_of_fd(k->dir_fd);
	struct err err;

	end_run(k, SIGKILL);
	hang_up(k);
	streams_close(&k->streams, NULL);
	if (k->bye && *dir && path_remove_tree(AT_FDCWD, dir, &err))
		log_warn("%s", err.msg);
}

int far_keep(const struct far_request *q, int dir_fd)
{
	struct keeper k = {.q = q,
			   .dir_fd = dir_fd,
			   .connection = -1,
			   .archive = -1,
			   .run_out = -1,
			   .run = {0, -1},
			   .wish = {.fd = -1, .file = -1},
			   .events = BUF_INIT,
			   .frames = FRAMES_NONE,
			   .alone_ms = clock_mono_ms()};
	struct err err;

	k.streams = (struct streams){.frames = &k.frames,
				     .sent = far_account_sent,
				     .came = far_account_came,
				     .forget = far_account_free};
	if (open_keeper(&k, &err)) {
		log_warn("%s", err.msg);
		return 1;
	}
	while (!k.bye &&
	       !(k.is_over && k.connection < 0 && clock_mono_ms() >= k.alone_ms + LOST_MS))
		turn(&k);
	tidy(&k);
	return 0;
}
