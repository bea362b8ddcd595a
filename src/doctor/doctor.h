/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * doctor.h -- what this machine needs to run benchmarks, tried out.
 */
#pragma once
#include "doctor/check.h"

/* A launcher that is tried too. */
struct doctor_launcher {
	const char *name;
	const json_t *settings; /* as a benchmark has them; NULL: none */
};

/* Make all checks, for trials whose data folder is DATA; those of the models' keys, which make paid calls, if
 * MODELS; and that of LAUNCHER, unless NULL. Blocks for a second or so; where something hangs, 20 seconds for each check, a minute for each key.
 * The caller releases *OUT, which is complete even when -1 says that the scratch folder could not be removed. */
int doctor_run(struct checks *out, const char *data, bool models,
	       const struct doctor_launcher *launcher, struct err *err) MUST_CHECK;
