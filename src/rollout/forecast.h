/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * forecast.h -- what a run may cost, told before it starts: from what trials of the same task and model cost in
 * earlier rollouts below the data root, else from their limits. What their judging may cost is told apart.
 */
#pragma once
#include <stddef.h>
#include "base/err.h"
#include "base/strv.h"
#include "config/providers.h"
#include "core/trial.h"

struct forecast_part {
	size_t trials;	/* that ask a model which is not free */
	size_t known;	/* of them by earlier runs */
	size_t limited; /* of them by their limits: at most */
	double usd;	/* of those two */
};

struct forecast {
	struct forecast_part agents, judge;
};

/* What is to be done: the agents of N trials, and the judging of as many. */
struct forecast_of {
	const struct trial *trials; /* those without a provider cost nothing */
	size_t n;
	const struct judge *judge; /* NULL: nobody judges */
	const struct trial *judged;
	size_t judged_n;
};

/* DATA_DIR may not exist. Reads the manifests of the latest rollouts. */
void forecast_make(struct forecast *out, const char *data_dir, const struct providers *p,
		   const struct forecast_of *of);
/* What one trial of F costs; 0: not known, or nothing. */
double forecast_each(const struct forecast_part *f);
/* The line for people, added to OUT unless nothing is paid for; ERR_USAGE when B does not allow to start.
 * B NULL: there is none to be told of. */
int forecast_tell(struct strv *out, const struct forecast *f, const struct budget *b,
		  struct err *err) MUST_CHECK;
