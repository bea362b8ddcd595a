/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * create.h -- the beginning of a rollout on disk: a stamp nobody else has.
 */
#pragma once
#include <stdbool.h>
#include "base/clock.h"
#include "base/err.h"
#include "store/store.h"

/* Make DATA/rollouts/NAME/STAMP for the first free second from now on, or from the last STAMP of NAME on where that is later: the
 * clock was set back. RUN_IDs are shared by all
 * names, so the stamp is claimed for all of them, by making the folder of its run 0. */
int create_rollout(const struct store *s, const char *name, struct rollout_ref *out,
		   struct err *err) MUST_CHECK;
/* The same with STAMP as the first second that is tried: for a rollout that was made elsewhere. */
int create_rollout_as(const struct store *s, const char *name, const char *stamp,
		      struct rollout_ref *out, struct err *err) MUST_CHECK;
/* Take back a claim on which nothing was built. */
void create_undo(const struct store *s, const struct rollout_ref *ref);
/* The first of N user ids for the trials of a rollout, when root starts it; else 0. */
uid_t create_uid_base(size_t n);
