/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plan.h -- entries x models x rollouts become trials with identities, labels and an order that
 * interleaves models and tasks (rollout outermost). Pure: reads nothing but its arguments.
 */
#pragma once
#include <stddef.h>
#include "base/err.h"
#include "base/strv.h"
#include "core/bench.h"
#include "core/trial.h"
#include "task/task.h"

/* Who answers a model's requests; borrowed. */
struct plan_route {
	const char *provider, *api, *model_id;
	json_t *roles; /* core/roles.h; NULL: none */
};

struct plan_input {
	const struct bench *bench;
	const struct task *const *tasks;  /* one per entry, in order */
	const char *const *const *agents; /* agents[entry][model]: the one chosen, never "auto" */
	/* routes[entry][model]; NULL, as a whole or inside: no provider, and the model's own name. */
	const struct plan_route *const *routes;
	const char *tools; /* their id: other tools make other trials. NULL: there are none */
	/* Globs over task ids, folder names and prepared_dir, or "tag:GLOB" over a task's tags; NULL or none: all,
	 * and all of those but EXCLUDE. One that matches nothing is an issue. */
	const struct strv *only, *exclude;
	int64_t sample, sample_seed; /* of what is left so many tasks, drawn by the seed; 0: all */
	int64_t limit;		     /* at most this many trials, 0: all */
	const struct trial *old;     /* planned earlier: not planned again (by key), new ones are
				    numbered after them */
	size_t old_n;
};

struct plan {
	struct trial *trials;
	size_t n, cap;
	struct strv
		notes; /* what became of settings that changed since the OLD trials, for people */
};

/* Trials that would be the same twice are lines in ISSUES, naming both tables, and so are tasks that changed since
 * trials of OLD ran; -1 with ERR_USAGE then. The run ids and snapshots stay NULL until plan_stamp and the caller set them. */
int plan_make(struct plan *out, const struct plan_input *in, struct strv *issues,
	      struct err *err) MUST_CHECK;
/* Name every trial's run: "STAMP-index". */
void plan_stamp(struct plan *p, const char *stamp);
void plan_release(struct plan *p);
