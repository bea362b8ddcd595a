/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "gatewaylink/process.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/strv.h"
#include "core/datadir.h"
#include "gatewaylink/gateway.h"
#include "os/fdio.h"
#include "os/spawn.h"

enum {
	READY_MS = 30000,
	LEAVE_MS = 5000,
	BACKOFF_MS = 200,
	BACKOFF_MAX_MS = 5000,
	STEADY_MS = 30000, /* a gateway that lived so long starts the count anew */
	TRIES = 8,
	LINE_MAX_BYTES = 64 << 10,
};

struct gateway_process {
	struct gateway_spec spec;
	char *program;
	int log_fd;
	int sockets[2];	    /* agents, workers; the second -1: none */
	bool alone;	    /* on a socket of the caller's, and not started again */
	struct child child; /* pid 0: none runs */
	int in, out;	    /* our ends of its standard input and output */
	struct buf line;    /* the beginning of the next one */
	bool ready;
	int deaths;	  /* ever */
	int failures;	  /* deaths in a row */
	int64_t start_ms; /* of the one that runs */
	int64_t again_ms; /* when the next one is started; -1: one runs, or it was given up */
	char fatal[256];  /* its last words */
	char failure[512];
	struct gateway_totals before, now; /* of those that are gone; of the one that runs */
	struct gateway_totals sum;
};

/* What reaches the network as the user has set it up; no key, whatever it is called. */
static void make_env(struct strv *env)
{
	static const char *const kept[] = {
		"PATH",		 "TZ",		 "HTTPS_PROXY",	   "https_proxy", "HTTP_PROXY",
		"http_proxy",	 "ALL_PROXY",	 "all_proxy",	   "NO_PROXY",	  "no_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "TMPDIR",
	};

	strv_setenv(env, "LANG", "C.UTF-8");
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const char *value = getenv(kept[i]);
		if (value)
			strv_setenv(env, kept[i], value);
	}
	for (char **e = environ; *e; e++)
		if (strstr(*e, "SAN_OPTIONS="))
			strv_push(env, *e);
}

static void wipe(struct buf *b)
{
	if (b->cap)
		explicit_bzero(b->data, b->len);
	buf_release(b);
}

/* A socket rather than a pipe: writing to one that is gone must not raise a signal. */
static void send_document(const struct gateway_process *p)
{
	struct buf text = BUF_INIT;
	size_t at = 0;
	ssize_t n = 0;

	json_format(&text, p->spec.document, false);
	buf_addc(&text, '\n');
	for (; at < text.len && n >= 0; at += n > 0 ? (size_t)n : 0) {
		n = send(p->in, text.data + at, text.len - at, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			n = 0;
	}
	wipe(&text);
}

static int start(struct gateway_process *p, struct err *err)
{
	const char *argv[] = {p->program, NULL};
	AUTO(strv) struct strv env = STRV_INIT;
	int in[2], out[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in))
		return err_set(err, ERR_INFRA, errno, "socketpair");
	AUTO(fd) int in_child = in[0];
	AUTO(fd) int in_mine = in[1];
	if (fd_pipe(out, err))
		return -1;
	AUTO(fd) int out_mine = out[0];
	AUTO(fd) int out_child = out[1];
	make_env(&env);
	const struct spawn s = {.argv = argv,
				.env = strv_items(&env),
				.dir_fd = AT_FDCWD,
				.in = in_child,
				.out = out_child,
				.err = p->log_fd,
				.more = p->sockets,
				.more_n = p->alone ? 1 : 2};
	/* A group of its own: an interrupt typed at the terminal is for the supervisor. */
	if (spawn_start(&p->child, &s, true, err))
		return -1;
	fd_set_nonblock(out_mine, true);
	p->in = fd_steal(&in_mine);
	p->out = fd_steal(&out_mine);
	p->start_ms = clock_mono_ms();
	p->again_ms = -1;
	p->ready = false;
	*p->fatal = '\0';
	p->now = (struct gateway_totals){0};
	/* Failure is its death, which is noticed by itself. */
	send_document(p);
	return 0;
}

static void sum_up(struct gateway_process *p)
{
	const struct gateway_totals *a = &p->before, *b = &p->now;

	p->sum = (struct gateway_totals){
		.calls = a->calls + b->calls,
		.tokens = a->tokens + b->tokens,
		.unpriced_calls = a->unpriced_calls + b->unpriced_calls,
		.usd = a->usd + b->usd,
		.waiting = b->waiting,
	};
}

static void on_totals(struct gateway_process *p, const json_t *j)
{
	p->now = (struct gateway_totals){
		.calls = json_get_int(j, "calls", 0),
		.tokens = json_get_int(j, "tokens", 0),
		.unpriced_calls = json_get_int(j, "unpriced_calls", 0),
		.usd = json_get_real(j, "usd", 0),
		.waiting = json_get_int(j, "waiting", 0),
	};
	sum_up(p);
}

static void on_line(struct gateway_process *p, const char *line, size_t len)
{
	AUTO(json) json_t *j = json_loadb(line, len, 0, NULL);
	const char *event = json_get_str(j, "event", ""), *text = json_get_str(j, "text", "");

	if (!strcmp(event, "ready")) {
		p->ready = true;
		if (p->failures)
			p->spec.note(p->spec.arg, "the gateway is back");
	} else if (!strcmp(event, "totals")) {
		on_totals(p, j);
	} else if (!strcmp(event, "note")) {
		p->spec.note(p->spec.arg, text);
	} else if (!strcmp(event, "fatal")) {
		snprintf(p->fatal, sizeof p->fatal, "%s", text);
	}
}

static void on_bytes(struct gateway_process *p, const char *data, size_t n)
{
	const char *newline;

	for (; (newline = memchr(data, '\n', n));
	     n -= (size_t)(newline + 1 - data), data = newline + 1) {
		buf_add(&p->line, data, (size_t)(newline - data));
		on_line(p, p->line.data, p->line.len);
		buf_reset(&p->line);
	}
	buf_add(&p->line, data, n);
	if (p->line.len > LINE_MAX_BYTES)
		buf_reset(&p->line);
}

/* Everything there is to read now; the end of it closes our end. */
static void read_lines(struct gateway_process *p)
{
	char block[16384];
	ssize_t n;

	while (p->out >= 0) {
		n = read(p->out, block, sizeof block);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		if (n == 0) {
			close(p->out);
			p->out = -1;
			return;
		}
		on_bytes(p, block, (size_t)n);
	}
}

static void close_ends(struct gateway_process *p)
{
	auto_fd(&p->in);
	auto_fd(&p->out);
	p->in = p->out = -1;
	buf_reset(&p->line);
}

/* It is dead: count it, and say when the next one is due. */
static void bury(struct gateway_process *p, int status)
{
	char how[48];
	int64_t pause = BACKOFF_MS;

	read_lines(p);
	close_ends(p);
	p->deaths++;
	p->before = p->sum;
	p->before.waiting = 0;
	p->now = (struct gateway_totals){0};
	p->ready = false;
	if (clock_mono_ms() - p->start_ms > STEADY_MS)
		p->failures = 0;
	spawn_status_text(status, how);
	snprintf(p->failure, sizeof p->failure, "the gateway ended by itself: %s",
		 *p->fatal ? p->fatal : how);
	if (++p->failures > TRIES || p->alone)
		return;
	for (int i = 1; i < p->failures && pause < BACKOFF_MAX_MS; i++)
		pause *= 2;
	p->again_ms = clock_mono_ms() + (pause < BACKOFF_MAX_MS ? pause : BACKOFF_MAX_MS);
	AUTO(free) char *text = xasprintf("%s; it is started again", p->failure);
	p->spec.note(p->spec.arg, text);
}

static void check_death(struct gateway_process *p)
{
	struct err ignored;
	int status;

	if (p->child.pid && !spawn_wait(&p->child, 1, &status, &ignored))
		bury(p, status);
}

static void start_again(struct gateway_process *p)
{
	struct err err;

	if (!start(p, &err))
		return;
	snprintf(p->failure, sizeof p->failure, "%.500s", err.msg);
	p->again_ms = ++p->failures > TRIES ? -1 : clock_mono_ms() + BACKOFF_MAX_MS;
}

size_t gateway_process_watch(const struct gateway_process *p, struct pollfd *fds)
{
	fds[0] = (struct pollfd){.fd = p->child.pid ? p->child.pidfd : -1, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = p->out, .events = POLLIN};
	return GATEWAY_PROCESS_FDS;
}

void gateway_process_turn(struct gateway_process *p, const struct pollfd *fds)
{
	if (fds[1].revents)
		read_lines(p);
	if (fds[0].revents)
		check_death(p);
	if (p->again_ms >= 0 && clock_mono_ms() >= p->again_ms)
		start_again(p);
}

int64_t gateway_process_due(const struct gateway_process *p)
{
	return p->again_ms;
}

bool gateway_process_is_ready(const struct gateway_process *p)
{
	return p->ready;
}

const char *gateway_process_failure(const struct gateway_process *p)
{
	return !p->child.pid && p->again_ms < 0 ? p->failure : NULL;
}

const struct gateway_totals *gateway_process_totals(const struct gateway_process *p)
{
	return &p->sum;
}

int gateway_process_deaths(const struct gateway_process *p)
{
	return p->deaths;
}

/* The first one must come up: a bad document or a missing file is not mended by trying again. */
static int wait_ready(struct gateway_process *p, struct err *err)
{
	int64_t deadline = clock_mono_ms() + READY_MS;

	while (!p->ready) {
		struct pollfd fds[GATEWAY_PROCESS_FDS];
		int status;

		gateway_process_watch(p, fds);
		fd_poll(fds, GATEWAY_PROCESS_FDS, deadline);
		read_lines(p);
		if (fds[0].revents && !spawn_wait(&p->child, 1, &status, err)) {
			char how[48];
			return err_set(err, ERR_INFRA, 0, "the gateway does not start: %s",
				       *p->fatal ? p->fatal : spawn_status_text(status, how));
		}
		if (!p->ready && clock_mono_ms() >= deadline)
			return err_set(err, ERR_INFRA, 0, "the gateway is not ready after %d s",
				       READY_MS / 1000);
	}
	return 0;
}

static int make_sockets(struct gateway_process *p, struct err *err)
{
	const struct gateway_spec *spec = &p->spec;

	if (p->alone) {
		p->sockets[0] = fcntl(spec->listener, F_DUPFD_CLOEXEC, 3);
		return p->sockets[0] < 0 ? err_set(err, ERR_INFRA, errno, "keep a socket") : 0;
	}
	if (mkdirat(spec->dir_fd, ROLLOUT_SOCKETS, 0700) && errno != EEXIST)
		return err_set(err, ERR_INFRA, errno, "make a folder for the gateway's sockets");
	p->sockets[0] = fd_listen_at(spec->dir_fd, ROLLOUT_GATEWAY_SOCKET, SOCK_STREAM, 0666, err);
	if (p->sockets[0] >= 0)
		p->sockets[1] = fd_listen_at(spec->dir_fd, ROLLOUT_CONTROL_SOCKET, SOCK_SEQPACKET,
					     0600, err);
	return p->sockets[1] < 0 ? -1 : 0;
}

int gateway_process_start(struct gateway_process **out, const struct gateway_spec *spec,
			  struct err *err)
{
	struct gateway_process *p = xcalloc(1, sizeof *p);

	*p = (struct gateway_process){.spec = *spec,
				      .program = xstrdup(spec->program),
				      .log_fd = fcntl(spec->log_fd, F_DUPFD_CLOEXEC, 3),
				      .sockets = {-1, -1},
				      .alone = spec->dir_fd < 0,
				      .child = {0, -1},
				      .in = -1,
				      .out = -1,
				      .line = BUF_INIT,
				      .again_ms = -1};
	if (make_sockets(p, err) || start(p, err) || wait_ready(p, err)) {
		gateway_process_stop(p);
		return -1;
	}
	*out = p;
	return 0;
}

void gateway_process_leave(struct gateway_process *p)
{
	int64_t deadline = clock_mono_ms() + LEAVE_MS;

	auto_fd(&p->in);
	p->in = -1;
	while (p->out >= 0 && clock_mono_ms() < deadline) {
		struct pollfd fd = {.fd = p->out, .events = POLLIN};
		fd_poll(&fd, 1, deadline);
		read_lines(p);
	}
	struct err ignored;
	int status;
	if (p->child.pid && spawn_wait(&p->child, deadline, &status, &ignored))
		spawn_kill(&p->child, true);
	p->again_ms = -1;
}

void gateway_process_stop(struct gateway_process *p)
{
	static const char *const names[] = {ROLLOUT_GATEWAY_SOCKET, ROLLOUT_CONTROL_SOCKET};

	if (!p)
		return;
	gateway_process_leave(p);
	close_ends(p);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (p->sockets[i] >= 0 && !p->alone && unlinkat(p->spec.dir_fd, names[i], 0) &&
		    errno != ENOENT)
			p->spec.note(p->spec.arg, "a socket of the gateway could not be removed");
		auto_fd(&p->sockets[i]);
	}
	if (!p->alone)
		unlinkat(p->spec.dir_fd, ROLLOUT_SOCKETS, AT_REMOVEDIR);
	auto_fd(&p->log_fd);
	buf_release(&p->line);
	free(p->program);
	free(p);
}
