/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * timeline.h -- when each attempt of a rollout ran, in which slot, in which phase, and when its model calls waited for quota.
 * Private to this room.
 */
#pragma once
#include "store/store.h"

/* Draw that of REF, which is R's own or one of those R was pooled from, as a figure. Reads the journal, and the call logs of trials that waited. What cannot be read is left out, and it says so. */
void chart_timeline(struct buf *out, const struct rollout *r, const struct rollout_ref *ref,
		    size_t number);
