/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/box.h"
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/container.h"
#include "os/fdio.h"

#define ANSWER_MS                                                                                  \
	20000 /* for a first word: an engine that hangs is tried again by the trial's next attempt */
#define REMOVE_MS 30000
#define RESTART_MS                                                                                 \
	10000 /* for an engine that is away to come back: what it forgets to remove, the next start has to */
#define RETRY_MS 250

/* -1 at the end of the socket. FD, -1: what the message brought along. */
static int receive(int socket, json_t **out, int *fd)
{
	AUTO(free) char *text = xmalloc(BOX_MESSAGE_MAX);
	size_t fds_n = 1;
	struct err err;

	*fd = -1;
	ssize_t n = fd_recv(socket, text, BOX_MESSAGE_MAX, fd, &fds_n, 0, &err);

	*out = NULL;
	if (n <= 0)
		return -1;
	*out = json_loadb(text, (size_t)n, JSON_DECODE_ANY, NULL);
	return *out ? 0 : -1;
}

static int answer(int socket, const struct err *failed)
{
	AUTO(json) json_t *j = json_object();
	AUTO(buf) struct buf text = BUF_INIT;
	struct err err;

	if (failed) {
		json_put_str(j, "error", failed->msg);
		json_put_bool(j, "retry", failed->retry);
	}
	json_format(&text, j, false);
	return fd_send(socket, text.data, text.len, NULL, 0, &err) < 0 ? -1 : 0;
}

static int show_workspace(struct engine *e, const char *id, int tree, const json_t *description,
			  struct err *err)
{
	return container_mount(e, id, tree, json_get_str(description, "workspace", ""), err)
		       ? err_wrap(err, "show the workspace in the container (workspace = \"copy\" "
				       "does without)")
		       : 0;
}

static void remove_container(struct engine *e, const char *id)
{
	const int64_t now = clock_mono_ms();
	struct err err;

	while (container_remove(e, id, now + REMOVE_MS, &err)) {
		if (clock_mono_ms() > now + RESTART_MS) {
			log_debug("%s", err.msg);
			return;
		}
		poll(NULL, 0, RETRY_MS);
	}
}

static void wait_for_end(int socket)
{
	json_t *word = NULL;
	int fd = -1;

	while (!receive(socket, &word, &fd)) {
		json_decref(word);
		if (fd >= 0)
			close(fd);
	}
}

static void serve(int socket, const json_t *description, int owner)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(free) char *id = NULL;
	AUTO(json) json_t *word = NULL;
	AUTO(fd) int tree = -1;
	struct err err = {0};

	if (receive(socket, &word, &tree))
		return;
	const char *where = json_get_str(description, "engine", "");
	bool failed = engine_open(&e, where, ANSWER_MS, &err) ||
		      container_start(e, description, owner, &id, &err) ||
		      (tree >= 0 && show_workspace(e, id, tree, description, &err));
	if (tree >= 0)
		close(fd_steal(&tree));
	if (!answer(socket, failed ? &err : NULL))
		wait_for_end(socket);
	if (id)
		remove_container(e, id);
}

int box_serve(int socket)
{
	const int owner = getppid();
	AUTO(json) json_t *description = NULL;
	AUTO(fd) int unexpected = -1;

	if (receive(socket, &description, &unexpected))
		return 0;
	serve(socket, description, owner);
	return 0;
}
