/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "engine/box.h"
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

#define REMOVE_MS 60000

/* -1 at the end of the socket. */
static int receive(int socket, json_t **out)
{
	AUTO(free) char *text = xmalloc(BOX_MESSAGE_MAX);
	struct err err;
	ssize_t n = fd_recv(socket, text, BOX_MESSAGE_MAX, NULL, &(size_t){0}, 0, &err);

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

static void serve(int socket, const json_t *description, int owner)
{
	AUTO(engine) struct engine *e = NULL;
	AUTO(free) char *id = NULL;
	AUTO(json) json_t *word = NULL;
	AUTO(json) json_t *more = NULL;
	struct err err = {0};

	if (receive(socket, &word))
		return;
	const char *where = json_get_str(description, "engine", "");
	bool failed = engine_open(&e, where, ENGINE_CALL_MS, &err) ||
		      container_start(e, description, owner, &id, &err);
	if (!answer(socket, failed ? &err : NULL))
		while (!receive(socket, &more))
			json_decref(STEAL(&more));
	if (id && container_remove(e, id, clock_mono_ms() + REMOVE_MS, &err))
		log_debug("%s", err.msg);
}

int box_serve(int socket)
{
	const int owner = getppid();
	AUTO(json) json_t *description = NULL;

	if (receive(socket, &description))
		return 0;
	serve(socket, description, owner);
	return 0;
}
