/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plan.h -- entries x models x rollouts become trials with identities, labels and an order that
 * interleaves models and tasks (rollout outermost). Pure: reads nothing but its arguments.
 */
#pragma once
#include <stddef.h>
#include "base/err.h"
#include "core/bench.h"
#include "core/trial.h"
#include "task/task.h"

struct plan_input {
	const struct bench *bench;
	/* One per entry, in order: the task as read, its snapshot path and the agent chosen for each model. */
	const struct task *const *tasks;
	const char *const *snapshots;
	const char *only; /* glob over task ids and folders, or NULL */
	int limit;        /* at most this many trials, 0: all */
	const char *stamp;
};

struct plan {
	struct trial *trials;
	size_t n;
};

int plan_make(struct plan *out, const struct plan_input *in, struct err *err) MUST_CHECK;
void plan_release(struct plan *p);
