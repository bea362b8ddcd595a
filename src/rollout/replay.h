/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * replay.h -- run --replay NAME@STAMP: which recording of an earlier rollout answers which trial.
 */
#pragma once
#include <stdbool.h>
#include "base/err.h"
#include "base/strv.h"
#include "core/trial.h"

/* One path per trial, relative to the data root, NULL for a trial without a provider; the caller frees both.
 * A trial is found by task, label, agent, model and number, whatever became of the task's tests since. ERR_USAGE
 * when one has no recording, unless LIVE: then it is NULL, and NOTES get a line for people that counts them. SELECTOR: "NAME@STAMP"; a tag or the beginning of a stamp will
 * do, and "NAME" is its latest rollout. */
int replay_find(char ***out, const char *data_dir, const char *selector, const struct trial *trials,
		size_t n, bool live, struct strv *notes, struct err *err) MUST_CHECK;
void replay_free(char **paths, size_t n); /* accepts NULL */
