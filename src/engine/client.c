/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/client.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/text.h"
#include "os/fdio.h"
#include "os/spawn.h"

#define TELL_MS 60000
#define TAIL_LINES 20
#define LINE_BYTES 1000

static bool is_on_path(const char *name)
{
	AUTO(free) char *dirs = xstrdup(getenv("PATH"));
	char *save = NULL;

	for (char *dir = dirs ? strtok_r(dirs, ":", &save) : NULL; dir;
	     dir = strtok_r(NULL, ":", &save)) {
		AUTO(free) char *path = path_join(dir, name);
		if (!access(path, X_OK))
			return true;
	}
	return false;
}

static bool has_buildx(const char *const *env)
{
	static const char *const argv[] = {"docker", "buildx", "version", NULL};
	const struct spawn s = {
		.argv = argv, .env = env, .dir_fd = AT_FDCWD, .in = -1, .out = -1, .err = -1};
	int status = 1;
	struct err ignored;

	return !spawn_run(&s, NULL, 0, 4096, clock_mono_ms() + 20000, NULL, NULL, &status,
			  &ignored) &&
	       !status;
}

static int command(const struct engine *e, const struct strv *args, struct strv *argv,
		   struct strv *env, struct err *err)
{
	AUTO(free) char *host = xasprintf("unix://%s", engine_socket(e));
	const bool docker = is_on_path("docker");

	strv_pushv(env, (const char *const *)environ);
	strv_setenv(env, "DOCKER_HOST", host);
	strv_setenv(env, "DOCKER_CONTEXT", "");
	if (docker) {
		/* Without its plug-in the client cannot use BuildKit, and some refuse to build unless told so. */
		const bool buildkit =
			!strncmp(engine_about(e), "Docker", 6) && has_buildx(strv_items(env));
		strv_setenv(env, "DOCKER_BUILDKIT", buildkit ? "1" : "0");
		strv_setenv(env, "BUILDKIT_PROGRESS", "plain");
		strv_push(argv, "docker");
	} else if (is_on_path("podman")) {
		strv_pushv(argv, (const char *const[]){"podman", "--url", host, NULL});
	} else {
		return err_set(err, ERR_INFRA, 0,
			       "neither docker nor podman is on PATH: install the package "
			       "docker-cli (docker.io) or podman");
	}
	const bool build = !docker && args->n && !strcmp(args->v[0], "build");
	strv_pushv(argv, strv_items(args));
	/* Its own format of an image has no HEALTHCHECK. */
	if (build)
		strv_pushv(argv, (const char *const[]){"--format=docker", NULL});
	return 0;
}

struct lines {
	int log_fd;
	char text[LINE_BYTES];
	size_t len;
	char *last[TAIL_LINES];
	size_t n;
};

static void end_line(struct lines *l)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	text_render(&safe, l->text, l->len, TEXT_TERMINAL_LINE);
	l->len = 0;
	dprintf(l->log_fd, "%s\n", safe.data);
	dprintf(STDOUT_FILENO, "| %s\n", safe.data);
	free(l->last[l->n % TAIL_LINES]);
	l->last[l->n++ % TAIL_LINES] = buf_detach(&safe);
}

static void add_text(struct lines *l, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (data[i] != '\n' && data[i] != '\r' && l->len < sizeof l->text)
			l->text[l->len++] = data[i];
		else if (data[i] == '\n' || l->len == sizeof l->text)
			end_line(l);
	}
}

/* What it says now, for somebody who wonders. */
static void tell_still(const struct lines *l, const char *what, int64_t since_ms)
{
	const long long minutes = (clock_mono_ms() - since_ms + TELL_MS / 2) / TELL_MS;

	dprintf(STDOUT_FILENO, "%s: %lld minute%s by now%s%.200s\n", what, minutes,
		minutes == 1 ? "" : "s", l->n ? "; it says: " : "",
		l->n ? l->last[(l->n - 1) % TAIL_LINES] : "");
}

static int read_lines(struct lines *l, int fd, const struct client_job *job, struct err *err)
{
	const int64_t start = clock_mono_ms(), deadline = start + job->timeout_ms;
	int64_t tell = start + TELL_MS;
	char piece[4096];

	for (;;) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int ready = fd_poll(&p, 1, tell < deadline ? tell : deadline);
		if (clock_mono_ms() >= deadline)
			return err_set(err, ERR_LIMIT, 0,
				       "took longer than %lld s (build_timeout_sec)",
				       (long long)job->timeout_ms / 1000);
		if (clock_mono_ms() >= tell) {
			tell_still(l, job->what, start);
			tell += TELL_MS;
		}
		if (ready <= 0)
			continue;
		ssize_t n = read(fd, piece, sizeof piece);
		if (n <= 0)
			break;
		add_text(l, piece, (size_t)n);
	}
	if (l->len)
		end_line(l);
	return 0;
}

static void take_tail(struct lines *l, struct buf *tail)
{
	for (size_t i = l->n > TAIL_LINES ? l->n - TAIL_LINES : 0; i < l->n; i++)
		buf_addf(tail, "%s\n", l->last[i % TAIL_LINES]);
	for (size_t i = 0; i < TAIL_LINES; i++)
		free(l->last[i]);
}

static volatile sig_atomic_t running; /* process group of the client; 0: none */

static void end_client(int number)
{
	if (running > 0)
		kill(-(pid_t)running, SIGTERM);
	_exit(128 + number);
}

void client_end_with_us(void)
{
	const struct sigaction act = {.sa_handler = end_client};

	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

int client_run(const struct engine *e, const struct client_job *job, struct buf *tail,
	       struct err *err)
{
	AUTO(strv) struct strv argv = STRV_INIT;
	AUTO(strv) struct strv env = STRV_INIT;
	struct lines l = {.log_fd = job->log_fd};
	struct child child;
	int ends[2], status = 0;
	char text[48];

	if (command(e, job->args, &argv, &env, err) || fd_pipe(ends, err))
		return -1;
	AUTO(fd) int in = ends[0];
	AUTO(fd) int out = ends[1];
	struct spawn s = {.argv = strv_items(&argv),
			  .env = strv_items(&env),
			  .dir_fd = AT_FDCWD,
			  .in = -1,
			  .out = out,
			  .err = out};
	if (spawn_start(&child, &s, true, err))
		return -1;
	running = child.pid;
	close(fd_steal(&out));
	int failed = read_lines(&l, in, job, err);
	take_tail(&l, tail);
	if (failed) {
		running = 0;
		spawn_kill(&child, true);
		return err_wrap(err, "%s %s", argv.v[0], job->args->v[0]);
	}
	if (spawn_wait(&child, 0, &status, err))
		return -1;
	running = 0;
	return status ? err_set(err, ERR_INFRA, 0, "%s %s: %s", argv.v[0], job->args->v[0],
				spawn_status_text(status, text))
		      : 0;
}
