/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <limits.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/install.h"
#include "base/mem.h"
#include "base/path.h"
#include "core/datadir.h"
#include "rollout/carried.h"
#include "rollout/eval-retries.h"
#include "rollout/images.h"
#include "rollout/meter.h"
#include "rollout/preflight.h"
#include "rollout/recover.h"
#include "rollout/session.h"

/* Absolute: sandboxes mount what is in it. */
static char *rollout_folder(const struct session *s)
{
	AUTO(free) char *path = path_of_fd(s->dir_fd);

	return *path ? STEAL(&path) : path_join(s->store.root, s->ref.path);
}

int session_run(struct session *s, const struct listener *l, const struct session_work *w,
		struct sched_end *end, struct err *err)
{
	if (w->n && ((!s->fresh && carried_prepare(s, w, err)) ||
		     session_check_host(s, s->plan.trials, s->plan.n, err) ||
		     images_prepare(s, l, w, err) || preflight_run(s, l, w, err))) {
		if (s->fresh)
			session_undo(s);
		return -1;
	}
	s->fresh = false;
	AUTO(free) char *worker = install_libexec("rollouts-trial");
	AUTO(free) char *dir = w->document ? rollout_folder(s) : NULL;
	AUTO(free) char *gateway = dir ? xasprintf("%s/" ROLLOUT_GATEWAY_SOCKET, dir) : NULL;
	AUTO(free) char *control = dir ? xasprintf("%s/" ROLLOUT_CONTROL_SOCKET, dir) : NULL;
	struct meter meter;
	size_t parallel = (size_t)(w->parallel ? w->parallel : s->plan.parallel);
	struct sched_options o = {
		.store = &s->store,
		.ref = &s->ref,
		.dir_fd = s->dir_fd,
		.plan = &s->plan,
		.progress = s->progress,
		.journal = s->journal,
		.items = w->items,
		.items_n = w->n,
		/* More jobs than items would only be more to look through. */
		.parallel = (int)(parallel < w->n ? parallel
				  : w->n	  ? w->n
						  : 1),
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
	const struct sched_hook hook = meter_hook(&meter);
	o.hook = meter.gateway || w->wall_ms ? &hook : NULL;
	if (!status)
		status = sched_run(&o, end, err) || eval_retries_run(s, &o, l, end, err) ? -1 : 0;
	meter_close(&meter);
	s->stats.cost = meter.before;
	return status;
}
