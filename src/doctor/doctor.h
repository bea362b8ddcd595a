/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * doctor.h -- what this machine needs to run benchmarks, tried out.
 */
#pragma once
#include "doctor/check.h"

/* Make all checks, for trials whose data folder is DATA; those of the models' keys, which make paid calls, if
 * MODELS. Blocks for a second or so; where something hangs, 20 seconds for each check, a minute for each key.
 * The caller releases *OUT, which is complete even when -1 says that the scratch folder could not be removed. */
int doctor_run(struct checks *out, const char *data, bool models, struct err *err) MUST_CHECK;
