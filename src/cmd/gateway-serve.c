/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cmd/gateway-serve.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/text.h"
#include "cmd/cmd.h"

enum { BACKLOG = 1024 };

int gateway_listen(const char *path, struct err *err)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(path) >= sizeof at.sun_path)
		return err_set(err, ERR_USAGE, 0, "--socket %s: the path is longer than %zu bytes",
			       path, sizeof at.sun_path - 1);
	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	AUTO(fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, ERR_INFRA, errno, "socket");
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return err_set(err, ERR_USAGE, 0,
				       "--socket %s: there is a file already, and no socket", path);
		if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
			return err_set(err, ERR_USAGE, 0,
				       "--socket %s: somebody listens there already", path);
		unlink(path);
	}
	mode_t old = umask(0177);
	int bad = bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, BACKLOG);
	int why = errno;
	umask(old);
	if (bad)
		return err_set(err, ERR_INFRA, why, "listen on %s", path);
	return fd_steal(&fd);
}

static void say_note(void *arg, const char *text)
{
	AUTO(buf) struct buf safe = BUF_INIT;

	text_renders(&safe, text, TEXT_TERMINAL_LINE);
	cmd_warn(safe.data);
}

static int attend(struct gateway_process *p, int until_fd, struct err *err)
{
	for (;;) {
		struct pollfd fds[GATEWAY_PROCESS_FDS + 1] = {0};
		struct pollfd *told = &fds[gateway_process_watch(p, fds)];
		*told = (struct pollfd){.fd = until_fd, .events = POLLIN};
		if (poll(fds, GATEWAY_PROCESS_FDS + 1, -1) < 0 && errno != EINTR)
			return err_set(err, ERR_INFRA, errno, "poll");
		if (told->revents)
			return 0;
		gateway_process_turn(p, fds);
		if (gateway_process_failure(p))
			return err_set(err, ERR_INFRA, 0, "%s", gateway_process_failure(p));
	}
}

int gateway_serve(struct gateway_totals *totals, int listener, const json_t *document, int until_fd,
		  struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-gateway");
	const struct gateway_spec spec = {.program = program,
					  .dir_fd = -1,
					  .listener = listener,
					  .log_fd = STDERR_FILENO,
					  .document = document,
					  .note = say_note};
	struct gateway_process *p = NULL;

	*totals = (struct gateway_totals){0};
	if (gateway_process_start(&p, &spec, err))
		return -1;
	int failed = attend(p, until_fd, err);
	gateway_process_leave(p);
	*totals = *gateway_process_totals(p);
	gateway_process_stop(p);
	return failed;
}
