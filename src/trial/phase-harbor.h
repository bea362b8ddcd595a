/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * phase-harbor.h -- private to trial: a Harbor task from its container's start to its rewards. Agent and verifier share one container, so
 * their work is committed together, by result.json; or the verifier has one of its own, which only artifacts reach.
 */
#pragma once
#include "trial/work.h"

/* While we may still read the cache: which image its verifier has. */
int work_harbor_prepare(struct work *w, struct err *err) MUST_CHECK;
/* Fills w->result: the agent's record, w->result.harbor, the scores. A reward that is missing or cannot be read leaves it unscored, with the
 * reason; -1 where our side failed. */
int work_harbor(struct work *w, struct err *err) MUST_CHECK;
