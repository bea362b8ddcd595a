/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-sides.h -- what is compared with what. A side is all trials of a rollout, or those of one model, label or
 * agent of it. Which sides there are follows from the rollouts and from the names that the user gave.
 */
#pragma once
#include <stdbool.h>
#include <string.h>
#include "base/err.h"
#include "base/strv.h"
#include "store/store.h"

struct compare_side {
	char *name; /* what tells it from the other sides */
	const struct rollout *rollout;
	const char *model, *label, *agent; /* NULL: whichever */
};

struct compare_match {
	size_t candidate, baseline; /* indexes of sides */
};

struct compare_sides {
	struct compare_side *v;
	size_t n;
	struct compare_match *matches;
	size_t matches_n;
	bool all_pairs; /* each side is compared with each other */
};

/* Whether trials of R have NAME as their model, label or agent. */
bool compare_sides_has(const struct rollout *r, const char *name);
/* One rollout: the sides are what NAMES names, or without names its models; its labels where there is one model; its
 * agents where there is one label as well. Several: each is a side; two that have several models are compared model by
 * model. The first side is the candidate, those after it baselines; each other side is a candidate where BASELINE (of a
 * side's name, its model, or its rollout's stamp or tag) is given. *OUT points into ROLLOUTS. */
int compare_sides_make(struct compare_sides *out, const struct rollout *rollouts, size_t n,
		       const struct strv *names, const char *baseline, struct err *err) MUST_CHECK;
void compare_sides_release(struct compare_sides *s);

static inline bool compare_side_holds(const struct compare_side *side, const struct rollout *r,
				      const char *model, const char *label, const char *agent)
{
	return side->rollout == r && (!side->model || !strcmp(side->model, model)) &&
	       (!side->label || !strcmp(side->label, label)) &&
	       (!side->agent || !strcmp(side->agent, agent));
}

static inline void auto_compare_sides(struct compare_sides *s)
{
	compare_sides_release(s);
}
