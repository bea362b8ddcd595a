/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * eval-predictions.h -- private to the verb eval: patches that were made elsewhere, graded as a rollout of their own.
 */
#pragma once
#include "cmd/run-view.h"

struct predictions_request {
	struct config_request *config; /* its path is the benchmark's file */
	const char *path;	       /* of the predictions */
	const struct run_view *view;
	int parallel; /* 0: as the benchmark says */
	bool no_preflight;
};

/* An exit status; mistakes have been printed. */
int eval_predictions(const struct predictions_request *q);
