/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/images.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "engine/ask.h"
#include "os/fdio.h"
#include "os/spawn.h"

#define LINE_BYTES 4096

static void collect_keys(const struct session *s, const struct session_work *w, struct strv *keys)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		if (t->sandbox != SANDBOX_DOCKER || json_object_get(seen, t->image))
			continue;
		json_object_set_new(seen, t->image, json_true());
		strv_push(keys, t->image);
	}
}

/* A line of rollouts-docker: "| ..." is what a build prints, anything else is for the user. */
static void tell_line(const struct listener *l, const char *line, size_t len,
		      char last[static LINE_BYTES])
{
	if (len >= 2 && line[0] == '|' && line[1] == ' ') {
		listener_output(l, "image", line + 2, len - 2);
	} else if (len) {
		snprintf(last, LINE_BYTES, "%.*s", (int)len, line);
		listener_say(l, "%s", last);
	}
	listener_tell(l, &(struct listener_event){.kind = LISTENER_TURN, .left_ms = -1});
}

/* Until its end: each line as it comes. */
static void follow(const struct listener *l, int fd, char last[static LINE_BYTES])
{
	char text[LINE_BYTES];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, sizeof text - len)) > 0 || (n < 0 && errno == EINTR)) {
		len += n > 0 ? (size_t)n : 0;
		char *newline;
		while ((newline = memchr(text, '\n', len))) {
			tell_line(l, text, (size_t)(newline - text), last);
			len -= (size_t)(newline + 1 - text);
			memmove(text, newline + 1, len);
		}
		if (len == sizeof text)
			len = 0;
	}
}

static int make_images(const struct session *s, const struct listener *l, const struct strv *keys,
		       struct err *err)
{
	AUTO(free) char *program = install_libexec("rollouts-docker");
	AUTO(strv) struct strv argv = STRV_INIT;
	char last[LINE_BYTES] = "";
	struct child child;
	int ends[2], status = 0;

	strv_pushv(&argv, (const char *const[]){program, "images", NULL});
	strv_pushv(&argv, strv_items(keys));
	if (fd_pipe(ends, err))
		return -1;
	AUTO(fd) int in = ends[0];
	AUTO(fd) int out = ends[1];
	const struct spawn spawn = {.argv = strv_items(&argv),
				    .dir_fd = s->store.root_fd,
				    .in = -1,
				    .out = out,
				    .err = STDERR_FILENO};
	if (spawn_start(&child, &spawn, false, err))
		return err_wrap(err, "%s", program);
	close(fd_steal(&out));
	follow(l, in, last);
	if (spawn_wait(&child, 0, &status, err))
		return -1;
	return status ? engine_ask_failed(status, last, err) : 0;
}

/* What root would have prevented (see docs/containers.md) is told. */
static void warn_of_network(const struct session *s, const struct listener *l,
			    const struct session_work *w)
{
	for (size_t i = 0; geteuid() && i < w->n; i++)
		if (s->plan.trials[w->items[i].index].network) {
			listener_say(
				l,
				"network = true: only started by root does a run keep its "
				"containers from "
				"credentials that a cloud hands to this machine (169.254.169.254)");
			return;
		}
}

int images_prepare(const struct session *s, const struct listener *l, const struct session_work *w,
		   struct err *err)
{
	AUTO(strv) struct strv keys = STRV_INIT;

	collect_keys(s, w, &keys);
	warn_of_network(s, l, w);
	return keys.n ? make_images(s, l, &keys, err) : 0;
}
