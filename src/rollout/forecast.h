/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * forecast.h -- what a run may cost, told before it starts: from what trials of the same task and model cost in
 * earlier rollouts below the data root, else from their limits.
 */
#pragma once
#include <stddef.h>
#include "base/err.h"
#include "base/strv.h"
#include "config/providers.h"
#include "core/trial.h"

struct forecast {
	size_t trials;	/* that ask a model which is not free */
	size_t known;	/* of them by earlier runs */
	size_t limited; /* of them by their limits: at most */
	double usd;	/* of those two */
};

/* TRIALS without a provider cost nothing. DATA_DIR may not exist. Reads the manifests of the latest rollouts. */
void forecast_make(struct forecast *out, const char *data_dir, const struct providers *p,
		   const struct trial *trials, size_t n);
/* The line for people, added to OUT unless nothing is paid for; ERR_USAGE when B does not allow to start. */
int forecast_tell(struct strv *out, const struct forecast *f, const struct budget *b,
		  struct err *err) MUST_CHECK;
