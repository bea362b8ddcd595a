/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "node/home-models.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/token.h"
#include "core/trial.h"
#include "model/call-log.h"
#include "os/fdio.h"

enum { DOCUMENT_MAX = 16 << 20, LOG_MAX = 1 << 30, CHUNK = 32 << 10 };

/* What came to the logs of a worker's calls goes to it first. */
static void send_logs(void *arg, struct stream *s)
{
	struct home_models *m = arg;
	char block[CHUNK + 1];
	ssize_t n;

	for (int i = 0; s->is_worker && i < 2; i++)
		while (s->files[i] >= 0 &&
		       (n = pread(s->files[i], block + 1, CHUNK, s->read_bytes[i])) > 0) {
			*block = (char)i;
			frames_send(m->streams.frames, FRAME_LOG, s->id, block, (size_t)n + 1);
			s->read_bytes[i] += n;
		}
}

void home_models_init(struct home_models *m, int data_fd, const struct strv *dirs,
		      struct frames *frames)
{
	*m = (struct home_models){.data_fd = data_fd,
				  .dirs = dirs,
				  .streams = {.frames = frames, .before = send_logs, .arg = m}};
}

static int read_door(const struct home_models *m, const char *dir, json_t **out, struct err *err)
{
	AUTO(free) char *path = path_join(dir, ATTEMPT_TRAVEL);
	AUTO(json) json_t *travel = NULL;
	AUTO(buf) struct buf text = BUF_INIT;

	if (json_read(&travel, m->data_fd, path, DOCUMENT_MAX, err))
		return -1;
	const char *door = json_get_str(travel, "door", NULL);
	if (!door)
		return err_set(err, ERR_USAGE, 0, "this trial asks no model");
	return path_read_beneath(m->data_fd, door, DOCUMENT_MAX, &text, err) ||
			       json_parse(out, text.data, text.len, door, err)
		       ? -1
		       : 0;
}

/* "runs/RUN_ID/attempts/N" */
static char *run_of(const char *dir)
{
	AUTO(free) char *attempts = path_folder(dir);
	AUTO(free) char *run = path_folder(attempts);

	return xstrdup(path_base(run));
}

int home_models_tokens(struct home_models *m, const char *dir, struct buf *out, struct err *err)
{
	AUTO(json) json_t *door = NULL;
	AUTO(json) json_t *j = json_object();

	if (read_door(m, dir, &door, err))
		return -1;
	AUTO(free) char *run = run_of(dir);
	const int attempt = (int)strtol(path_base(dir), NULL, 10);
	static const char *const roles[] = {"agent", "judge"};
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		AUTO(free) char *token =
			token_make(json_get_str(door, "secret", ""), run, attempt, roles[i]);
		json_put_str(j, roles[i], token);
	}
	json_format(out, j, false);
	return 0;
}

static int reach(const json_t *door, const char *which, int type, struct err *err)
{
	return fd_connect_at(AT_FDCWD, json_get_str(door, which, ""), type, err);
}

static void give_up(struct home_models *m, uint32_t id, const char *why)
{
	log_warn("a connection to the gateway: %s", why);
	frames_send(m->streams.frames, FRAME_END, id, NULL, 0);
}

void home_models_open(struct home_models *m, const struct frame *f)
{
	const bool is_worker = f->len && *f->data == 'c';
	AUTO(json) json_t *door = NULL;
	struct err err = {0};
	int fd = -1;

	if (!is_worker) {
		if (m->dirs->n && !read_door(m, m->dirs->v[0], &door, &err))
			fd = reach(door, "gateway", SOCK_STREAM, &err);
		if (fd < 0) {
			give_up(m, f->id, err.msg);
			return;
		}
	}
	streams_add(&m->streams, f->id, fd, is_worker);
}

/* The attempt whose token that is, of those of this job. */
static const char *dir_of(const struct home_models *m, const char *token)
{
	for (size_t i = 0; i < m->dirs->n; i++) {
		AUTO(free) char *run = run_of(m->dirs->v[i]);
		AUTO(free) char *start = xasprintf("%s.%s.", run, path_base(m->dirs->v[i]));
		if (!strncmp(token, start, strlen(start)))
			return m->dirs->v[i];
	}
	return NULL;
}

/* What a worker here would hand to the gateway, in its order. */
struct handed {
	int fds[4];
	size_t n;
};

static int open_one(struct handed *out, int dir_fd, const char *name, int flags, struct err *err)
{
	int fd = path_open_beneath(dir_fd, name, flags, 0600, err);

	if (fd < 0)
		return -1;
	out->fds[out->n++] = fd;
	return 0;
}

static int open_replay(const struct home_models *m, struct handed *out, int dir_fd, bool is_judge,
		       struct err *err)
{
	AUTO(json) json_t *trial = NULL;

	if (json_read(&trial, dir_fd, ATTEMPT_TRIAL, DOCUMENT_MAX, err))
		return -1;
	const char *replay = json_get_str(trial, "replay", "");
	AUTO(free) char *folder = path_folder(replay);
	AUTO(free) char *judge = path_join(folder, ATTEMPT_JUDGE_RECORDING);
	return open_one(out, m->data_fd, is_judge ? judge : replay, O_RDONLY, err);
}

static int open_files(const struct home_models *m, struct stream *s, struct handed *out,
		      const char *dir, const json_t *attach, struct err *err)
{
	static const char *const agent[] = {ATTEMPT_CALLS, ATTEMPT_CALLS_OPEN, ATTEMPT_RECORDING};
	static const char *const judge[] = {ATTEMPT_JUDGE_CALLS, ATTEMPT_JUDGE_CALLS_OPEN,
					    ATTEMPT_JUDGE_RECORDING};
	const char *token = json_get_str(attach, "token", "");
	const bool is_judge = strstr(token, ".judge.");
	const char *const *names = is_judge ? judge : agent;
	AUTO(fd) int dir_fd = path_open_beneath(m->data_fd, dir, O_RDONLY | O_DIRECTORY, 0, err);
	AUTO(json) json_t *trial = NULL;

	if (dir_fd < 0 || path_make_dirs(dir_fd, ATTEMPT_LOGS, 0755, err) ||
	    json_read(&trial, dir_fd, ATTEMPT_TRIAL, DOCUMENT_MAX, err) ||
	    open_one(out, dir_fd, names[0], O_WRONLY | O_CREAT | O_APPEND, err) ||
	    (json_get_bool(attach, "open", false) &&
	     open_one(out, dir_fd, names[1], O_WRONLY | O_CREAT | O_TRUNC, err)) ||
	    (json_get_bool(trial, "record", false) &&
	     open_one(out, dir_fd, names[2], O_WRONLY | O_CREAT | O_APPEND, err)) ||
	    (json_get_str(attach, "replay", NULL) && open_replay(m, out, dir_fd, is_judge, err)))
		return -1;
	for (int i = 0; i < 2; i++) {
		struct err none;
		s->files[i] = path_open_beneath(dir_fd, names[2 * i], O_RDONLY, 0, &none);
		off_t end = s->files[i] < 0 ? 0 : lseek(s->files[i], 0, SEEK_END);
		s->read_bytes[i] = end > 0 ? end : 0;
	}
	return 0;
}

static void lower(json_t *limits, const char *key, double spent)
{
	const json_t *limit = json_object_get(limits, key);
	const double left = json_number_value(limit) - spent;

	/* Nothing at all would be no limit. */
	if (json_is_integer(limit))
		json_put_int(limits, key, left >= 1 ? (json_int_t)left : 1);
	else if (limit)
		json_put_real(limits, key, left > 1e-9 ? left : 1e-9);
}

static void add_name(json_t *list, const char *name)
{
	size_t i;
	json_t *known;

	json_array_foreach (list, i, known)
		if (!strcmp(json_string_value(known), name))
			return;
	if (*name)
		json_array_append_new(list, json_string(name));
}

/* What the calls in LOG came to, as a state has it; NULL: there are none. The caller owns it. */
static json_t *sum_up(const struct buf *log)
{
	struct call_log_reader r = {.at = log->data, .end = log->data + log->len};
	struct token_usage t = {0};
	int64_t calls = 0, estimated = 0;
	json_t *models = json_array(), *keys = json_array();
	struct logged_call c;
	double usd = 0;

	while (call_log_read(&r, &c)) {
		if (!call_log_is_paid(&c))
			continue;
		calls++;
		estimated += c.estimated;
		t.input += c.tokens.input;
		t.cached += c.tokens.cached;
		t.cache_write += c.tokens.cache_write;
		t.output += c.tokens.output;
		t.reasoning += c.tokens.reasoning;
		usd = usd < 0 || c.usd < 0 ? -1 : usd + c.usd;
		add_name(models, c.model_served);
		add_name(keys, c.key);
	}
	call_log_release(&r);
	json_t *j = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o}", "calls",
			      (json_int_t)calls, "estimated", (json_int_t)estimated, "tokens_input",
			      (json_int_t)t.input, "tokens_cached", (json_int_t)t.cached,
			      "tokens_cache_write", (json_int_t)t.cache_write, "tokens_output",
			      (json_int_t)t.output, "tokens_reasoning", (json_int_t)t.reasoning,
			      "answered", calls > 0, "models", models, "keys", keys);
	if (usd >= 0)
		json_put_real(j, "usd", usd);
	if (calls)
		return j;
	json_decref(j);
	return NULL;
}

/* An account that is opened anew begins with what is left, and its node is told what was spent. */
static void go_on(struct home_models *m, const struct stream *s, json_t *attach)
{
	AUTO(buf) struct buf log = BUF_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	json_t *limits = json_object_get(attach, "limits");
	struct err ignored;

	if (s->files[0] < 0 || lseek(s->files[0], 0, SEEK_SET) < 0 ||
	    path_read_fd(s->files[0], LOG_MAX, &log, &ignored))
		return;
	AUTO(json) json_t *spent = sum_up(&log);
	if (!spent)
		return;
	lower(limits, "tokens",
	      (double)(json_get_int(spent, "tokens_input", 0) +
		       json_get_int(spent, "tokens_output", 0)));
	lower(limits, "calls", (double)json_get_int(spent, "calls", 0));
	lower(limits, "usd", json_get_real(spent, "usd", 0));
	json_format(&text, spent, false);
	frames_send(m->streams.frames, FRAME_SPENT, s->id, text.data, text.len);
}

static int attach(struct home_models *m, struct stream *s, const struct frame *f, struct err *err)
{
	AUTO(json) json_t *j = json_foreign(f->data, f->len);
	AUTO(json) json_t *door = NULL;
	const char *dir = dir_of(m, json_get_str(j, "token", ""));
	struct handed handed = {0};

	if (!dir)
		return err_set(err, ERR_USAGE, 0, "its token is none of this job's");
	int rc = read_door(m, dir, &door, err) || open_files(m, s, &handed, dir, j, err) ? -1 : 0;
	if (!rc && (s->fd = reach(door, "control", SOCK_SEQPACKET, err)) < 0)
		rc = -1;
	if (!rc) {
		AUTO(buf) struct buf text = BUF_INIT;
		go_on(m, s, j);
		json_format(&text, j, false);
		rc = fd_send(s->fd, text.data, text.len, handed.fds, handed.n, err) < 0 ? -1 : 0;
	}
	for (size_t i = 0; i < handed.n; i++)
		close(handed.fds[i]);
	if (s->fd >= 0)
		fd_set_nonblock(s->fd, true);
	return rc;
}

void home_models_hear(struct home_models *m, const struct frame *f)
{
	struct stream *s = streams_find(&m->streams, f->id);
	struct err err;

	if (!s || f->type != FRAME_DATA || !s->is_worker || s->fd >= 0) {
		streams_hear(&m->streams, f);
		return;
	}
	if (!attach(m, s, f, &err))
		return;
	give_up(m, f->id, err.msg);
	s->ended = s->heard_end = true;
}

void home_models_release(struct home_models *m)
{
	streams_close(&m->streams, NULL);
}
