/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "core/launcher.h"
#include "os/open-files.h"
#include "rollout/carried.h"
#include "rollout/derived.h"
#include "rollout/eval-retries.h"
#include "rollout/images.h"
#include "rollout/launchers.h"
#include "rollout/meter.h"
#include "rollout/node-keys.h"
#include "rollout/recover.h"
#include "rollout/remotes.h"
#include "rollout/session.h"

/* Absolute: sandboxes mount what is in it. */
static char *rollout_folder(const struct session *s)
{
	AUTO(free) char *path = path_of_fd(s->dir_fd);

	return *path ? STEAL(&path) : path_join(s->store.root, s->ref.path);
}

/* Two who live in the loop. */
struct both {
	struct sched_hook a, b;
	size_t a_fds;
};

static size_t watch(void *arg, struct pollfd *fds)
{
	struct both *h = arg;

	h->a_fds = h->a.watch(h->a.arg, fds);
	return h->a_fds + h->b.watch(h->b.arg, fds + h->a_fds);
}

static void turn(void *arg, const struct pollfd *fds)
{
	struct both *h = arg;

	h->a.turn(h->a.arg, fds);
	h->b.turn(h->b.arg, fds + h->a_fds);
}

static int64_t due(void *arg)
{
	struct both *h = arg;
	int64_t a = h->a.due(h->a.arg), b = h->b.due(h->b.arg);

	return a < 0 || (b >= 0 && b < a) ? b : a;
}

static enum sched_hold hold(void *arg, char *why, size_t size)
{
	struct both *h = arg;
	enum sched_hold first = h->a.hold(h->a.arg, why, size);

	return first == SCHED_GO ? h->b.hold(h->b.arg, why, size) : first;
}

static bool is_ready(void *arg, size_t trial)
{
	struct both *h = arg;

	return h->a.ready(h->a.arg, trial) && h->b.ready(h->b.arg, trial);
}

static void heard(void *arg, size_t trial, const char *event, const json_t *line)
{
	struct both *h = arg;

	h->a.heard(h->a.arg, trial, event, line);
}

static int run_trials(struct session *s, const struct listener *l, const struct session_work *w,
		      struct images *images, struct sched_end *end, struct err *err);

/* More jobs than items would only be more to look through. */
static int parallel_of(const struct session *s, const struct session_work *w)
{
	size_t parallel = (size_t)(w->parallel ? w->parallel : s->plan.parallel);

	return (int)(parallel < w->n ? parallel : w->n ? w->n : 1);
}

/* Only those that run here have files of ours open. */
static int parallel_here(const struct session *s, const struct session_work *w)
{
	const int parallel = parallel_of(s, w);
	int here = 0;

	for (size_t i = 0; i < w->n && here < parallel; i++)
		here += !strcmp(s->plan.trials[w->items[i].index].launcher, LAUNCHER_LOCAL);
	return here > 0 ? here : 1;
}

/* Results are kept whatever becomes of what is made from them. */
static void derive(const struct session *s, bool fresh, struct sched_end *end)
{
	struct err err;

	if (fresh && !*end->underived)
		return;
	end->underived[0] = '\0';
	if (derived_mend(s, &err))
		snprintf(end->underived, sizeof end->underived, "%s", err.msg);
}

int session_run(struct session *s, const struct listener *l, const struct session_work *w,
		struct sched_end *end, struct err *err)
{
	struct images images = {0};

	if (open_files_allow(parallel_here(s, w), err)) {
		if (s->fresh)
			session_undo(s);
		return -1;
	}
	if (w->n &&
	    ((!s->fresh && (carried_prepare(s, w, err) ||
			    launchers_check(s->store.root_fd, &s->plan, &s->asks_here, err))) ||
	     carried_settle(&s->store, err) || remotes_check(s, l, w, err) ||
	     session_check_host(s, s->plan.trials, s->plan.n, err) ||
	     images_open(&images, s, l, w, err))) {
		if (images.s)
			images_close(&images);
		if (s->fresh)
			session_undo(s);
		return -1;
	}
	bool fresh = s->fresh;
	s->fresh = false;
	int rc = run_trials(s, l, w, &images, end, err);
	if (images.s)
		images_close(&images);
	if (!rc)
		derive(s, fresh, end);
	return rc;
}

static int run_trials(struct session *s, const struct listener *l, const struct session_work *w,
		      struct images *images, struct sched_end *end, struct err *err)
{
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	AUTO(free) char *dir = w->document ? rollout_folder(s) : NULL;
	AUTO(free) char *gateway = dir ? xasprintf("%s/" ROLLOUT_GATEWAY_SOCKET, dir) : NULL;
	AUTO(free) char *control = dir ? xasprintf("%s/" ROLLOUT_CONTROL_SOCKET, dir) : NULL;
	struct meter meter;
	struct sched_options o = {
		.store = &s->store,
		.ref = &s->ref,
		.dir_fd = s->dir_fd,
		.plan = &s->plan,
		.progress = s->progress,
		.journal = s->journal,
		.items = w->items,
		.items_n = w->n,
		.parallel = parallel_of(s, w),
		.fail_fast = s->plan.fail_fast,
		.find_launcher = launch_find,
		.worker = worker,
		.secret = s->secret,
		.gateway = gateway,
		.control = control,
		.record = true,
		.replay = w->replay,
		.replay_or_live = s->plan.replay_or_live,
		.listener = l,
		.sweep = recover_sweep,
		.on_done = w->on_done,
		.on_done_arg = w->on_done_arg,
	};

	int status = meter_open(&meter, s, l, w, err);
	const bool metered = meter.gateway || w->wall_ms, made = images->s && images->in >= 0;
	struct both both = {.a = meter_hook(&meter), .b = images_hook(images)};
	const struct sched_hook hook =
		made && metered
			? (struct sched_hook){watch, turn, due, hold, is_ready, heard, &both}
		: made ? both.b
		       : both.a;
	o.hook = metered || made ? &hook : NULL;
	AUTO(free) char *keys = NULL;
	AUTO(free) char *door = NULL;
	if (!status)
		status = node_keys_write(&keys, s, w, o.parallel, err);
	if (!status)
		status = node_door_write(&door, s, w, &o, err);
	o.node_keys = keys;
	o.node_door = door;
	if (!status)
		status = sched_run(&o, end, err) || eval_retries_run(s, &o, l, end, err) ? -1 : 0;
	node_keys_remove(s);
	meter_close(&meter);
	s->stats.cost = meter.before;
	return status;
}
