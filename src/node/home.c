/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The node is a stranger: it gets what the attempts it was given need (their trial.json and travel.json, the parcels that these name, the
 * tokens of their model calls), and reaches the gateway with those tokens. Keys stay here.
 */
#include "node/home.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/token.h"
#include "node/home-models.h"
#include "node/inputs.h"
#include "os/lines.h"
#include "os/fdio.h"
#include "os/spawn.h"

enum {
	DOCUMENT_MAX = 16 << 20,
	EVENTS_MAX = 1 << 30,
	SILENT_MS = 90000,
	PING_MS = 15000,
	PARENT_MS = 1000,
	CHUNK = 64 << 10,
};

/* A file that the node asked for. */
struct giving {
	uint32_t id;
	int fd;
};

struct home {
	const struct home_request *q;
	struct home_models models;
	struct frames frames;
	struct child child;
	int data_fd, out_fd, events_fd, signal_fd;
	int pipes[2];	 /* from the command, to it */
	json_t *allowed; /* path -> true */
	struct giving *giving;
	size_t giving_n, giving_cap;
	/* The archive that comes. */
	int archive_fd;
	json_t *archive;
	struct hash archive_hash;
	int64_t archive_bytes;
	json_t *ended;	 /* tokens of trials whose end is here */
	struct buf line; /* the beginning of the next event line */
	bool left, gone; /* what ran has said that it left; the keeper, that it is gone */
	bool broken;
	int64_t heard_ms, pinged_ms;
	pid_t parent;
};

/* What the attempt in DIR may be given. */
static int allow(struct home *h, const char *dir, struct err *err)
{
	AUTO(free) char *trial = path_join(dir, ATTEMPT_TRIAL);
	AUTO(free) char *travel = path_join(dir, ATTEMPT_TRAVEL);
	AUTO(free) char *tokens = path_join(dir, HOME_TOKENS);
	AUTO(json) json_t *j = NULL;
	size_t i;
	json_t *input;

	if (json_read(&j, h->data_fd, travel, DOCUMENT_MAX, err))
		return -1;
	json_put_bool(h->allowed, trial, true);
	json_put_bool(h->allowed, travel, true);
	json_put_bool(h->allowed, tokens, true);
	json_array_foreach (json_object_get(j, "inputs"), i, input) {
		const json_t *share = json_object_get(input, "share");
		const json_t *entry = share && inputs_of_agent(h->q->alone) ? share : input;
		AUTO(free) char *parcel =
			xasprintf(DATA_PARCELS "/%s.tar", json_get_str(entry, "sha256", ""));
		json_put_bool(h->allowed, parcel, true);
	}
	if (h->q->agent) {
		AUTO(free) char *agent = path_join(dir, HOME_AGENT);
		json_put_bool(h->allowed, agent, true);
	}
	return 0;
}

static void refuse(struct home *h, uint32_t id, const char *why)
{
	frames_send(&h->frames, FRAME_FILE_END, id, why, strlen(why));
}

static void give_tokens(struct home *h, uint32_t id, const char *path)
{
	AUTO(free) char *dir = path_folder(path);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err;

	if (home_models_tokens(&h->models, dir, &text, &err)) {
		refuse(h, id, err.msg);
		return;
	}
	frames_send(&h->frames, FRAME_FILE, id, text.data, text.len);
	frames_send(&h->frames, FRAME_FILE_END, id, NULL, 0);
}

static void on_get(struct home *h, const struct frame *f)
{
	AUTO(free) char *path = xstrndup(f->data, f->len);
	struct err err;

	if (!json_object_get(h->allowed, path)) {
		refuse(h, f->id, "it is none of this job's");
		return;
	}
	if (!strcmp(path_base(path), HOME_TOKENS)) {
		give_tokens(h, f->id, path);
		return;
	}
	const bool of_agent = h->q->agent && !strcmp(path_base(path), HOME_AGENT);
	int fd = of_agent ? open(h->q->agent, O_RDONLY | O_CLOEXEC)
			  : path_open_beneath(h->data_fd, path, O_RDONLY, 0, &err);
	if (fd < 0 && of_agent)
		err_set(&err, ERR_INFRA, errno, "%s", h->q->agent);
	if (fd < 0) {
		refuse(h, f->id, err.msg);
		return;
	}
	GROW(h->giving, h->giving_n, h->giving_cap);
	h->giving[h->giving_n++] = (struct giving){f->id, fd};
}

static void give(struct home *h)
{
	char block[CHUNK];

	while (h->giving_n && !frames_are_many(&h->frames)) {
		struct giving *g = &h->giving[0];
		ssize_t n = read(g->fd, block, sizeof block);
		if (n > 0) {
			frames_send(&h->frames, FRAME_FILE, g->id, block, (size_t)n);
			continue;
		}
		if (n < 0)
			refuse(h, g->id, strerror(errno));
		else
			frames_send(&h->frames, FRAME_FILE_END, g->id, NULL, 0);
		close(g->fd);
		*g = h->giving[--h->giving_n];
	}
}

/* Names are the node's: one that is none of a file here is not made. */
static void begin_archive(struct home *h, const struct frame *f)
{
	struct err err;

	json_decref(h->archive);
	auto_fd(&h->archive_fd);
	h->archive = json_foreign(f->data, f->len);
	const char *name = json_get_str(h->archive, "name", "");
	AUTO(free) char *temporary = xasprintf(".%s.coming", name);
	if (strchr(name, '/') || !path_is_inside(name))
		temporary[0] = '\0';
	unlinkat(h->out_fd, temporary, 0);
	h->archive_fd =
		path_open_beneath(h->out_fd, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600, &err);
	h->archive_bytes = 0;
	hash_init(&h->archive_hash);
	h->broken |= h->archive_fd < 0;
	if (h->archive_fd < 0)
		log_warn("%s", err.msg);
}

static void take_archive(struct home *h, const struct frame *f)
{
	struct err err;

	if (h->archive_fd < 0)
		return;
	if (path_write_all(h->archive_fd, f->data, f->len, &err)) {
		log_warn("%s", err.msg);
		h->broken = true;
	}
	hash_bytes(&h->archive_hash, f->data, f->len);
	h->archive_bytes += (int64_t)f->len;
}

/* A damaged one is asked for again by another connection. */
static void end_archive(struct home *h)
{
	const char *name = json_get_str(h->archive, "name", "");
	AUTO(free) char *temporary = xasprintf(".%s.coming", name);
	char sha256[HASH_HEX];

	if (h->archive_fd < 0)
		return;
	hash_hex(&h->archive_hash, sha256);
	if (strcmp(sha256, json_get_str(h->archive, "sha256", "")) != 0 ||
	    h->archive_bytes != json_get_int(h->archive, "bytes", -1)) {
		log_warn("archive %s came damaged", name);
		h->broken = true;
	} else if (fsync(h->archive_fd) || renameat(h->out_fd, temporary, h->out_fd, name)) {
		log_warn("archive %s: %s", name, strerror(errno));
		h->broken = true;
	} else {
		frames_send(&h->frames, FRAME_TAKEN, 0, NULL, 0);
	}
	close(h->archive_fd);
	h->archive_fd = -1;
}

static void note(struct home *h, const char *line, size_t len)
{
	AUTO(json) json_t *j = json_foreign(line, len);

	h->left |= json_object_get(j, "left") != NULL;
	if (json_object_get(j, "ended"))
		json_put_bool(h->ended, json_get_str(j, "token", ""), true);
}

static void on_line(void *arg, const char *line, size_t len)
{
	struct home *h = arg;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err;

	buf_add(&text, line, len);
	buf_addc(&text, '\n');
	if (path_write_all(h->events_fd, text.data, text.len, &err)) {
		log_warn("%s", err.msg);
		h->broken = true;
		return;
	}
	note(h, line, len);
}

static void on_frame(void *arg, const struct frame *f)
{
	struct home *h = arg;

	h->heard_ms = clock_mono_ms();
	switch ((enum frame_type)f->type) {
	case FRAME_EVENTS:
		lines_feed(&h->line, f->data, f->len, EVENTS_MAX, on_line, h);
		break;
	case FRAME_GET:
		on_get(h, f);
		break;
	case FRAME_ARCHIVE:
		begin_archive(h, f);
		break;
	case FRAME_ARCHIVE_BYTES:
		take_archive(h, f);
		break;
	case FRAME_ARCHIVE_END:
		end_archive(h);
		break;
	case FRAME_LEFT:
		h->gone = true;
		break;
	case FRAME_OPEN:
		home_models_open(&h->models, f);
		break;
	case FRAME_DATA:
	case FRAME_END:
	case FRAME_CREDIT:
		home_models_hear(&h->models, f);
		break;
	default:
		break;
	}
}

static void say_hello(struct home *h)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	struct stat st = {0};

	fstat(h->events_fd, &st);
	json_put_int(j, "v", 1);
	json_put_int(j, "events", st.st_size);
	json_format(&text, j, false);
	frames_send(&h->frames, FRAME_HELLO, 0, text.data, text.len);
}

/* What was cut in the middle of a line begins there again. */
static int open_events(struct home *h, struct err *err)
{
	AUTO(free) char *path = xasprintf("%s.0", h->q->events);
	AUTO(buf) struct buf text = BUF_INIT;

	h->events_fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (h->events_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s", path);
	if (path_read(AT_FDCWD, path, EVENTS_MAX, &text, err))
		return -1;
	const char *end = memrchr(text.data, '\n', text.len);
	size_t whole = end ? (size_t)(end + 1 - text.data) : 0;
	for (char *line = text.data, *newline; (newline = strchr(line, '\n')); line = newline + 1)
		note(h, line, (size_t)(newline - line));
	return ftruncate(h->events_fd, (off_t)whole) ? err_set(err, ERR_INFRA, errno, "%s", path)
						     : 0;
}

static int start_command(struct home *h, struct err *err)
{
	int in[2], out[2];

	if (!h->q->command) {
		h->pipes[0] = 0;
		h->pipes[1] = 1;
		return 0;
	}
	if (fd_pipe(in, err))
		return -1;
	AUTO(fd) int their_in = in[0];
	h->pipes[1] = in[1];
	if (fd_pipe(out, err))
		return -1;
	AUTO(fd) int their_out = out[1];
	h->pipes[0] = out[0];
	const struct spawn s = {.argv = h->q->command,
				.dir_fd = AT_FDCWD,
				.in = their_in,
				.out = their_out,
				.err = STDERR_FILENO};
	return spawn_start(&h->child, &s, true, err);
}

static int open_home(struct home *h, struct err *err)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGQUIT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	h->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	h->data_fd = open(h->q->data, flags);
	h->out_fd = open(h->q->out, flags);
	if (h->data_fd < 0 || h->out_fd < 0)
		return err_set(err, ERR_INFRA, errno, "open %s",
			       h->data_fd < 0 ? h->q->data : h->q->out);
	if (open_events(h, err))
		return -1;
	home_models_init(&h->models, h->data_fd, &h->q->dirs, &h->frames);
	h->models.streams.lost = &h->broken;
	for (size_t i = 0; i < h->q->dirs.n; i++)
		if (allow(h, h->q->dirs.v[i], err))
			return -1;
	return h->left ? 0 : start_command(h, err);
}

static void take_signal(struct home *h)
{
	struct signalfd_siginfo info;

	if (read(h->signal_fd, &info, sizeof info) == sizeof info)
		frames_send(&h->frames, info.ssi_signo == SIGQUIT ? FRAME_KILL : FRAME_STOP, 0,
			    NULL, 0);
}

enum { IN, OUT, SIGNAL, FIXED };

/* False: the connection is over. */
static bool turn(struct home *h)
{
	struct pollfd *fds = xcalloc(FIXED + h->models.streams.n, sizeof *fds);
	const bool writes = h->frames.waiting.len > h->frames.waiting_at;
	bool ok = true;

	fds[IN] = (struct pollfd){.fd = h->frames.in, .events = POLLIN};
	fds[OUT] = (struct pollfd){.fd = writes ? h->frames.out : -1, .events = POLLOUT};
	fds[SIGNAL] = (struct pollfd){.fd = h->signal_fd, .events = POLLIN};
	size_t n = streams_watch(&h->models.streams, fds + FIXED);
	if (poll(fds, FIXED + n, PARENT_MS) > 0) {
		streams_turn(&h->models.streams, fds + FIXED, n);
		if (fds[SIGNAL].revents)
			take_signal(h);
		if (fds[IN].revents)
			ok = frames_read(&h->frames, on_frame, h);
		streams_sweep(&h->models.streams);
	}
	free(fds);
	give(h);
	if (clock_mono_ms() >= h->pinged_ms + PING_MS) {
		frames_send(&h->frames, FRAME_PING, 0, NULL, 0);
		h->pinged_ms = clock_mono_ms();
	}
	/* Whoever started us has gone; once all trials have ended the last word is still waited for, since nobody will come again. */
	const bool alone = getppid() != h->parent && json_object_size(h->ended) < h->q->dirs.n;
	return frames_write(&h->frames) && ok && !h->broken && !alone &&
	       clock_mono_ms() < h->heard_ms + SILENT_MS;
}

static enum home_status serve(struct home *h)
{
	enum home_status status = HOME_CUT;

	fd_set_nonblock(h->pipes[0], true);
	fd_set_nonblock(h->pipes[1], true);
	frames_open(&h->frames, h->pipes[0], h->pipes[1]);
	h->frames.is_ungreeted = true;
	say_hello(h);
	while (turn(h) && !h->left && !h->gone)
		;
	if (h->left || h->gone) {
		frames_send(&h->frames, FRAME_BYE, 0, NULL, 0);
		status = h->left ? HOME_DONE : HOME_GONE;
	}
	/* The last frames still go out, where somebody takes them. */
	for (int i = 0;
	     i < 50 && frames_write(&h->frames) && h->frames.waiting.len > h->frames.waiting_at;
	     i++)
		usleep(20000);
	return status;
}

static void close_home(struct home *h)
{
	const int64_t end = clock_mono_ms() + 2000;
	struct err ignored;
	int status;

	home_models_release(&h->models);
	frames_release(&h->frames);
	if (h->q->command) {
		auto_fd(&h->pipes[1]);
		if (h->child.pid && spawn_wait(&h->child, end, &status, &ignored))
			spawn_kill(&h->child, true);
		auto_fd(&h->pipes[0]);
	}
	for (size_t i = 0; i < h->giving_n; i++)
		close(h->giving[i].fd);
	free(h->giving);
	json_decref(h->allowed);
	json_decref(h->ended);
	json_decref(h->archive);
	buf_release(&h->line);
	auto_fd(&h->archive_fd);
	auto_fd(&h->events_fd);
	auto_fd(&h->out_fd);
	auto_fd(&h->data_fd);
	auto_fd(&h->signal_fd);
}

enum home_status home_run(const struct home_request *q)
{
	struct home h = {.q = q,
			 .frames = FRAMES_NONE,
			 .child = {0, -1},
			 .data_fd = -1,
			 .out_fd = -1,
			 .events_fd = -1,
			 .signal_fd = -1,
			 .archive_fd = -1,
			 .pipes = {-1, -1},
			 .allowed = json_object(),
			 .ended = json_object(),
			 .line = BUF_INIT,
			 .heard_ms = clock_mono_ms(),
			 .parent = getppid()};
	enum home_status status = HOME_USAGE;
	struct err err;

	if (open_home(&h, &err))
		log_warn("%s", err.msg);
	else
		status = h.left ? HOME_DONE : serve(&h);
	close_home(&h);
	return status;
}
