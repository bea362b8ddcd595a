/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * merge-internal.h -- between what decides (merge.c) and what copies (merge-copy.c).
 */
#pragma once
#include "rollout/merge.h"
#include "store/planfile.h"

/* A rollout of one of the folders, or of the data folder itself. */
struct merge_part {
	const struct store *store;
	size_t folder; /* which of the folders */
	struct rollout_ref ref;
	struct planfile
		plan; /* of the data folder's own: without trials until they are asked for */
	int dir_fd;
	char *from;
	json_t *keys; /* key of a trial -> its index; made when asked for */
	enum merge_kind kind;
	struct merge_part *known; /* what it is, or is a part of */
	struct merge_part *group; /* the first of those it goes with; itself: it is that */
	char *why;
};

struct merge {
	struct store store; /* the data folder */
	bool share;
	uid_t uid_base;
};

/* Each writes, and brings INTO up to date: its place is a part of the data folder. */
int merge_take(const struct merge *m, struct merge_part *part, struct rollout_ref *into,
	       struct err *err) MUST_CHECK;
int merge_join(const struct merge *m, struct merge_part *part, const struct rollout_ref *into,
	       struct err *err) MUST_CHECK;
int merge_grow(const struct merge *m, struct merge_part *part, const struct rollout_ref *into,
	       struct err *err) MUST_CHECK;
