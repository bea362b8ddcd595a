/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * trial.h -- the worker: one attempt of one trial, straight from top to bottom.
 */
#pragma once

/* Run the attempt whose trial.json lies in ATTEMPT_DIR ("runs/RUN_ID/attempts/N" below the working
 * directory, which is the data root). Events go to standard output. Returns the exit status: 0 when
 * result.json is in place, 3 when it could not be written or the supervisor is gone. */
int trial_run(const char *attempt_dir);
