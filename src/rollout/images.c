/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/images.h"
#include "rollout/checkouts.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/image.h"
#include "engine/ask.h"
#include "os/fdio.h"
#include "os/spawn.h"

#define LINE_BYTES 4096

static const char *pinned_id(const struct session *s, const char *key)
{
	for (size_t i = 0; i < s->plan.n; i++)
		if (!strcmp(s->plan.trials[i].image, key) && *s->plan.trials[i].image_id)
			return s->plan.trials[i].image_id;
	return NULL;
}

/* "KEY", or "KEY=ID" where trials of this rollout ran in an image already. */
static void collect_items(const struct session *s, const struct session_work *w, struct strv *items)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		if (t->sandbox != SANDBOX_DOCKER || json_object_get(seen, t->image))
			continue;
		json_object_set_new(seen, t->image, json_true());
		const char *id = pinned_id(s, t->image);
		AUTO(free) char *paths = checkouts_paths(s, t->image);
		strv_pushf(items, "%s%s%s%s", t->image, id ? "=" : "", id ? id : "", paths);
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

/* Blocks until FD speaks or ends; false: a signal asks us to stop. */
static bool wait_for(int fd, int signals)
{
	struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};

	while (poll(p, 2, -1) < 0)
		;
	return !p[1].revents;
}

/* Until its end: each line as it comes. False: a signal asks us to stop. */
static bool follow(const struct listener *l, int fd, int signals, char last[static LINE_BYTES])
{
	char text[LINE_BYTES];
	size_t len = 0;
	ssize_t n;

	for (;;) {
		if (!wait_for(fd, signals))
			return false;
		n = read(fd, text + len, sizeof text - len);
		if (!n || (n < 0 && errno != EINTR))
			return true;
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

static int make_images(const struct session *s, const struct listener *l, const struct strv *items,
		       struct err *err)
{
	const struct {
		const char *name;
		bool set;
	} flags[] = {{"--fresh", s->images.fresh},
		     {"--pull", s->images.pull},
		     {"--rebuild", s->images.rebuild},
		     {"--emulate", s->plan.allow_emulation}};
	AUTO(free) char *program = install_libexec("rollouts-docker");
	AUTO(strv) struct strv argv = STRV_INIT;
	char last[LINE_BYTES] = "";
	struct child child;
	sigset_t set, before;
	int ends[2], status = 0;

	strv_pushv(&argv, (const char *const[]){program, "images", NULL});
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].set)
			strv_push(&argv, flags[i].name);
	strv_pushv(&argv, strv_items(items));
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
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	AUTO(fd) int signals = signalfd(-1, &set, SFD_CLOEXEC);
	bool stopped = !follow(l, in, signals, last);
	struct signalfd_siginfo taken;
	/* Taken, or it would end us as soon as it may. */
	if (stopped && read(signals, &taken, sizeof taken) > 0)
		kill(child.pid, SIGTERM);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (spawn_wait(&child, 0, &status, err))
		return -1;
	if (stopped) {
		AUTO(buf) struct buf command = BUF_INIT;
		store_command(&command, s->store.root, &s->ref, "resume");
		return err_set(err, ERR_CANCELLED, 0,
			       "interrupted while images were made; to go on: %s", command.data);
	}
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

/* From here on the plan says which image each trial is run in. */
static int pin(struct session *s, const struct listener *l, struct err *err)
{
	AUTO(json) json_t *ids = json_object();
	bool changed = false;

	for (size_t i = 0; i < s->plan.n; i++) {
		struct trial *t = &s->plan.trials[i];
		struct err ignored = {0};
		struct image image;
		if (t->sandbox != SANDBOX_DOCKER || *t->image_id)
			continue;
		if (!json_object_get(ids, t->image)) {
			const char *id = pinned_id(s, t->image);
			bool read = !id &&
				    !image_read(&image, s->store.root_fd, t->image, NULL, &ignored);
			json_put_str(ids, t->image, id ? id : read ? image.id : "");
			if (read)
				image_release(&image);
		}
		free(t->image_id);
		t->image_id = xstrdup(json_get_str(ids, t->image, ""));
		changed |= *t->image_id != '\0';
	}
	if (checkouts_settle(s, l, &changed, err))
		return -1;
	return changed ? planfile_write(&s->plan, s->dir_fd, err) : 0;
}

int images_prepare(struct session *s, const struct listener *l, const struct session_work *w,
		   struct err *err)
{
	AUTO(strv) struct strv items = STRV_INIT;

	collect_items(s, w, &items);
	warn_of_network(s, l, w);
	return items.n && (make_images(s, l, &items, err) || pin(s, l, err)) ? -1 : 0;
}
