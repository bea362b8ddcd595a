/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rollout/images.h"
#include "rollout/checkouts.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/image.h"
#include "engine/ask.h"
#include "os/fdio.h"
#include "os/spawn.h"
#include "rollout/preflight.h"

#define PATIENCE_MS 3000 /* for more images to come at once */

static const char *pinned_id(const struct session *s, const char *key)
{
	for (size_t i = 0; i < s->plan.n; i++)
		if (!strcmp(s->plan.trials[i].image, key) && *s->plan.trials[i].image_id)
			return s->plan.trials[i].image_id;
	return NULL;
}

/* Images that verifiers of T have beside it: told one by one. False: FN has ended it. */
static bool each_verifier(const struct trial *t, bool (*fn)(void *arg, const char *key), void *arg)
{
	const char *at = t->verifier_images ? t->verifier_images : "";

	for (size_t n; *at; at += n + (at[n] == ' ')) {
		n = strcspn(at, " ");
		AUTO(free) char *key = xstrndup(at, n);
		if (n > 1 && !fn(arg, key))
			return false;
	}
	return true;
}

static bool is_in(void *arg, const char *key)
{
	return json_object_get(arg, key) != NULL;
}

/* Whether all images of T are among KEYS. */
static bool has_all(json_t *keys, const struct trial *t)
{
	return is_in(keys, t->image) && each_verifier(t, is_in, keys);
}

struct collecting {
	json_t *seen;
	struct strv *items;
};

static bool collect_verifier(void *arg, const char *key)
{
	struct collecting *c = arg;

	if (!json_object_get(c->seen, key))
		strv_push(c->items, key);
	json_object_set_new(c->seen, key, json_true());
	return true;
}

/* "KEY", or "KEY=ID" where trials of this rollout ran in an image already. */
static void collect_items(const struct session *s, const struct session_work *w, struct strv *items)
{
	AUTO(json) json_t *seen = json_object();

	for (size_t i = 0; i < w->n; i++) {
		const struct trial *t = &s->plan.trials[w->items[i].index];
		struct collecting c = {seen, items};
		if (t->sandbox == SANDBOX_DOCKER)
			each_verifier(t, collect_verifier, &c);
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
		      char last[static IMAGES_LINE])
{
	if (len >= 2 && line[0] == '|' && line[1] == ' ') {
		listener_output(l, "image", line + 2, len - 2);
	} else if (len) {
		snprintf(last, IMAGES_LINE, "%.*s", (int)len, line);
		listener_say(l, "%s", last);
	}
	listener_tell(l, &(struct listener_event){.kind = LISTENER_TURN, .left_ms = -1});
}

/* What rollouts-docker says, and what it says it has done. */
static void take_line(struct images *im, char *line, size_t len)
{
	line[len] = '\0';
	if (len == 2 + HASH_HEX - 1 && line[0] == '=' && line[1] == ' ')
		json_put_bool(im->made, line + 2, true);
	else
		tell_line(im->l, line, len, im->last);
}

/* Nothing blocks here but its end. */
static void read_maker(struct images *im)
{
	ssize_t n = read(im->in, im->text + im->len, sizeof im->text - 1 - im->len);
	struct err ignored;
	char *newline;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(fd_steal(&im->in));
		if (spawn_wait(&im->maker, 0, &im->status, &ignored))
			im->status = 1;
		return;
	}
	im->len += (size_t)n;
	while ((newline = memchr(im->text, '\n', im->len))) {
		const size_t line = (size_t)(newline - im->text);
		take_line(im, im->text, line);
		im->len -= line + 1;
		memmove(im->text, newline + 1, im->len);
	}
	if (im->len == sizeof im->text - 1)
		im->len = 0;
}

static int start_maker(struct images *im, const struct strv *items, struct err *err)
{
	const struct session *s = im->s;
	const struct {
		const char *name;
		bool set;
	} flags[] = {{"--fresh", s->images.fresh},
		     {"--pull", s->images.pull},
		     {"--rebuild", s->images.rebuild},
		     {"--emulate", s->plan.allow_emulation}};
	AUTO(free) char *program = install_libexec("rollouts-docker");
	AUTO(strv) struct strv argv = STRV_INIT;
	int ends[2];

	strv_pushv(&argv, (const char *const[]){program, "images", NULL});
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].set)
			strv_push(&argv, flags[i].name);
	if (s->plan.build_timeout_sec)
		strv_pushf(&argv, "--timeout=%d", s->plan.build_timeout_sec);
	strv_pushv(&argv, strv_items(items));
	if (fd_pipe(ends, err))
		return -1;
	im->in = ends[0];
	AUTO(fd) int out = ends[1];
	const struct spawn spawn = {.argv = strv_items(&argv),
				    .dir_fd = s->store.root_fd,
				    .in = -1,
				    .out = out,
				    .err = STDERR_FILENO};
	return spawn_start(&im->maker, &spawn, false, err) ? err_wrap(err, "%s", program) : 0;
}

/* Until all images are there, or some are and the rest takes its time. False: a signal asks us to stop. */
static bool await_first(struct images *im, int signals)
{
	while (im->in >= 0) {
		const size_t before = json_object_size(im->made);
		const int wait = !im->all && (before || im->others) ? PATIENCE_MS : -1;
		struct pollfd p[] = {{.fd = im->in, .events = POLLIN},
				     {.fd = signals, .events = POLLIN}};
		int ready = poll(p, 2, wait);
		if (ready > 0 && p[1].revents)
			return false;
		if (!ready && wait >= 0)
			return true;
		if (p[0].revents)
			read_maker(im);
	}
	return true;
}

static int stop(struct images *im, struct err *err)
{
	AUTO(buf) struct buf command = BUF_INIT;

	store_command(&command, im->s->store.root, &im->s->ref, "resume");
	return err_set(err, ERR_CANCELLED, 0, "interrupted while images were made; to go on: %s",
		       command.data);
}

static int wait_for_first(struct images *im, struct err *err)
{
	sigset_t set, before;
	struct signalfd_siginfo taken;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &before);
	AUTO(fd) int signals = signalfd(-1, &set, SFD_CLOEXEC);
	bool stopped = !await_first(im, signals);
	/* Taken, or it would end us as soon as it may. */
	if (stopped)
		(void)!read(signals, &taken, sizeof taken);
	sigprocmask(SIG_SETMASK, &before, NULL);
	if (stopped)
		return stop(im, err);
	return im->in < 0 && im->status ? engine_ask_failed(im->status, im->last, err) : 0;
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
static int pin(struct images *im, struct err *err)
{
	struct session *s = im->s;
	AUTO(json) json_t *ids = json_object();
	bool changed = false;

	for (size_t i = 0; i < s->plan.n; i++) {
		struct trial *t = &s->plan.trials[i];
		struct err ignored = {0};
		struct image image;
		if (t->sandbox != SANDBOX_DOCKER || *t->image_id ||
		    !json_object_get(im->made, t->image))
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
	if (checkouts_settle(s, im->l, &changed, err))
		return -1;
	return changed ? planfile_write(&s->plan, s->dir_fd, err) : 0;
}

/* The items of the work whose image was made and that were not tried yet are tried now: *OUT, to be freed. */
static size_t take_made(struct images *im, struct sched_item **out)
{
	size_t n = 0;

	*out = xcalloc(im->w->n + 1, sizeof **out);
	for (size_t i = 0; i < im->w->n; i++) {
		const struct trial *t = &im->s->plan.trials[im->w->items[i].index];
		const bool boxed = t->sandbox == SANDBOX_DOCKER;
		if (boxed ? has_all(im->made, t) && !has_all(im->open, t) : !im->tried)
			(*out)[n++] = im->w->items[i];
	}
	return n;
}

static void open_made(struct images *im)
{
	im->tried = true;
	json_object_update(im->open, im->made);
}

/* *N: how many images. */
static int begin(struct images *im, struct session *s, const struct listener *l,
		 const struct session_work *w, bool all, size_t *n, struct err *err)
{
	AUTO(strv) struct strv items = STRV_INIT;

	*im = (struct images){.s = s,
			      .l = l,
			      .w = w,
			      .all = all,
			      .in = -1,
			      .from_try = -1,
			      .maker.pidfd = -1,
			      .made = json_object(),
			      .open = json_object()};
	collect_items(s, w, &items);
	for (size_t i = 0; i < w->n; i++)
		im->others |= s->plan.trials[w->items[i].index].sandbox != SANDBOX_DOCKER;
	warn_of_network(s, l, w);
	*n = items.n;
	return items.n && (start_maker(im, &items, err) || wait_for_first(im, err) || pin(im, err))
		       ? -1
		       : 0;
}

int images_prepare(struct session *s, const struct listener *l, const struct session_work *w,
		   struct err *err)
{
	struct images im;
	size_t n;
	int rc = begin(&im, s, l, w, true, &n, err);

	images_close(&im);
	return rc;
}

int images_open(struct images *im, struct session *s, const struct listener *l,
		const struct session_work *w, struct err *err)
{
	AUTO(free) struct sched_item *first = NULL;
	size_t n;

	if (begin(im, s, l, w, false, &n, err))
		return -1;
	struct session_work now = *w;
	now.n = take_made(im, &first);
	now.items = first;
	if (preflight_run(s, l, &now, err))
		return -1;
	open_made(im);
	if (im->in >= 0)
		listener_say(
			l,
			"%zu of %zu images are there; trials of the others start when theirs are",
			json_object_size(im->open), n);
	return 0;
}

/* What the process that tries tests says goes through. */
static void tell_parent(void *arg, const struct listener_event *e)
{
	const int *to = arg;

	if (e->kind == LISTENER_REMARK)
		dprintf(*to, "%s\n", e->text);
}

/* Trying tests takes its time, and the loop in which trials run must not wait: a process does it. */
static _Noreturn void try_tests(const struct images *im, int to)
{
	const struct listener l = {.tell = tell_parent, .arg = &to};
	struct session_work w = *im->w;
	struct sched_item *items;
	struct err err = {0};

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	w.n = take_made((struct images *)im, &items);
	w.items = items;
	w.parallel = 1;
	if (!preflight_run(im->s, &l, &w, &err))
		_exit(0);
	dprintf(to, "!%s\n", err.msg);
	_exit(1);
}

static int start_try(struct images *im, struct err *err)
{
	int ends[2];

	if (pin(im, err) || fd_pipe(ends, err))
		return -1;
	json_decref(im->trying);
	im->trying = json_copy(im->made);
	im->try_pid = fork();
	if (im->try_pid == 0)
		try_tests(im, ends[1]);
	close(ends[1]);
	im->from_try = ends[0];
	return im->try_pid < 0 ? err_set(err, ERR_INFRA, errno, "fork") : 0;
}

/* Its whole output is short, and read when it has ended. */
static void end_try(struct images *im)
{
	AUTO(buf) struct buf said = BUF_INIT;
	struct err ignored;
	char *save = NULL;
	int status = 1;

	if (path_read_fd(im->from_try, 1 << 20, &said, &ignored))
		buf_reset(&said);
	close(fd_steal(&im->from_try));
	waitpid(im->try_pid, &status, 0);
	im->try_pid = 0;
	for (char *line = strtok_r(said.data, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		if (*line == '!')
			snprintf(im->fault, sizeof im->fault, "%s", line + 1);
		else
			listener_say(im->l, "%s", line);
	if (status && !*im->fault)
		snprintf(im->fault, sizeof im->fault, "the tests could not be tried");
	if (!status)
		json_object_update(im->open, im->trying);
}

static size_t watch(void *arg, struct pollfd *fds)
{
	const struct images *im = arg;

	fds[0] = (struct pollfd){.fd = im->in, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = im->from_try, .events = 0};
	return 2;
}

static void turn(void *arg, const struct pollfd *fds)
{
	struct images *im = arg;
	struct err err = {0};

	if (im->in >= 0 && fds[0].revents)
		read_maker(im);
	if (im->from_try >= 0 && fds[1].revents)
		end_try(im);
	if (!im->try_pid && !*im->fault &&
	    json_object_size(im->made) > json_object_size(im->open) && start_try(im, &err))
		snprintf(im->fault, sizeof im->fault, "%s", err.msg);
	if (im->in < 0 && im->status && !*im->fault) {
		engine_ask_failed(im->status, im->last, &err);
		snprintf(im->fault, sizeof im->fault, "%s", err.msg);
	}
}

static int64_t due(void *arg)
{
	return -1;
}

static enum sched_hold hold(void *arg, char *why, size_t size)
{
	const struct images *im = arg;

	snprintf(why, size, "%s", im->fault);
	return *im->fault ? SCHED_FAULT : SCHED_GO;
}

static bool is_ready(void *arg, size_t trial)
{
	const struct images *im = arg;
	const struct trial *t = &im->s->plan.trials[trial];

	return t->sandbox != SANDBOX_DOCKER || has_all(im->open, t);
}

struct sched_hook images_hook(struct images *im)
{
	return (struct sched_hook){watch, turn, due, hold, is_ready, NULL, im};
}

void images_close(struct images *im)
{
	struct err ignored;
	int status;

	if (im->in >= 0) {
		kill(im->maker.pid, SIGTERM);
		(void)!spawn_wait(&im->maker, 0, &status, &ignored);
		close(im->in);
	}
	if (im->try_pid > 0) {
		kill(im->try_pid, SIGTERM);
		waitpid(im->try_pid, &status, 0);
		close(im->from_try);
	}
	json_decref(im->made);
	json_decref(im->open);
	json_decref(im->trying);
}
