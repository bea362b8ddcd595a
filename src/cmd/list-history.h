/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * list-history.h -- a benchmark over time: list NAME --history.
 */
#pragma once
#include "store/store.h"

struct history_request {
	bool json;
	const char *
		regression; /* compare the latest with this one, or with the one before it ("previous"); NULL: do not */
};

/* Print the series of each model of NAME, oldest first; REFS are its N rollouts. *STATUS: the exit status, CMD_MISSING when
 * the latest is worse. */
int history_print(const struct store *s, const struct rollout_ref *refs, size_t n,
		  const struct history_request *q, int *status, struct err *err) MUST_CHECK;
