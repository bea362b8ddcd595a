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

/* What messages bring along. */
struct trees {
	int fds[BOX_OVERLAYS_MAX];
	size_t n;
};

static void close_trees(struct trees *t)
{
	while (t->n)
		close(t->fds[--t->n]);
}

/* -1 at the end of the socket. */
static int receive(int socket, json_t **out, struct trees *trees)
{
	AUTO(free) char *text = xmalloc(BOX_MESSAGE_MAX);
	struct err err;

	trees->n = BOX_OVERLAYS_MAX;
	ssize_t n = fd_recv(socket, text, BOX_MESSAGE_MAX, trees->fds, &trees->n, 0, &err);
	if (n < 0)
		trees->n = 0;

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

/* WHICH: a number for each, of the overlays that were described. */
static int show_overlays(struct engine *e, const char *id, const struct trees *trees,
			 const json_t *which, const json_t *description, struct err *err)
{
	const json_t *paths = json_object_get(description, "overlays");

	for (size_t i = 0; i < trees->n; i++) {
		const json_int_t at = json_integer_value(json_array_get(which, i));
		const char *path = json_string_value(json_array_get(paths, (size_t)at));
		if (container_mount(e, id, trees->fds[i], path ? path : "", err))
			return err_wrap(err, "show an overlay in the container (workspace = "
					     "\"copy\" does without)");
	}
	return 0;
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

/* What is asked of a container that runs, until the end. */
static void serve_words(int socket, struct engine *e, const char *id)
{
	AUTO(free) char *network = NULL;
	json_t *word = NULL;
	struct trees trees = {.n = 0};
	struct err err = {0};

	while (!receive(socket, &word, &trees)) {
		const json_t *on = json_object_get(word, "network");
		int failed = on ? container_network(e, id, json_is_true(on), &network, &err) : 0;
		json_decref(word);
		close_trees(&trees);
		if (on && answer(socket, failed ? &err : NULL))
			return;
	}
}

static void serve(int socket, const json_t *description, int owner)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(free) char *id = NULL;
	AUTO(json) json_t *word = NULL;
	struct trees trees = {.n = 0};
	struct err err = {0};

	if (receive(socket, &word, &trees))
		return;
	const char *where = json_get_str(description, "engine", "");
	bool failed = engine_open(&e, where, ANSWER_MS, &err) ||
		      container_start(e, description, owner, &id, &err) ||
		      show_overlays(e, id, &trees, word, description, &err);
	close_trees(&trees);
	if (!answer(socket, failed ? &err : NULL))
		serve_words(socket, e, id);
	if (id)
		remove_container(e, id);
}

int box_serve(int socket)
{
	const int owner = getppid();
	AUTO(json) json_t *description = NULL;
	struct trees unexpected = {.n = 0};

	if (receive(socket, &description, &unexpected))
		return 0;
	close_trees(&unexpected);
	serve(socket, description, owner);
	return 0;
}
