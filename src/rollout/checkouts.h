/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * checkouts.h -- where in its image the repository of a trial is: what the image installed from a checkout of its own
 * imports that one, and an agent's work must be there.
 */
#pragma once
#include "rollout/session.h"

/* "@PATH" for each place where a task whose image is KEY wants the repository: for engine/images.h. The caller frees. */
char *checkouts_paths(const struct session *s, const char *key);
/* Settle repo_path of each trial whose image is there and which has none: the image's WORKDIR where that is a checkout that
 * has the start commit and the task says nothing else. L is told where it is, and where it cannot be; *CHANGED is set when a
 * trial did. ERR_USAGE where a task's own repo.path leads to another repository. May look up a branch. */
int checkouts_settle(struct session *s, const struct listener *l, bool *changed,
		     struct err *err) MUST_CHECK;
