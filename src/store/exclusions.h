/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * exclusions.h -- trials that somebody said shall not count, in excluded.jsonl beside the journal: who, when and why.
 * The file only grows; taking an exclusion back is a line as well. The result stays what it is.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"

struct exclusion {
	char *run_id, *reason, *by, *time;
};

struct exclusions {
	struct exclusion *v; /* that hold, in the order they were made */
	size_t n;
};

/* DIR_FD: of the rollout. A missing file is none. */
int exclusions_read(struct exclusions *out, int dir_fd, const char *where,
		    struct err *err) MUST_CHECK;
/* Add a line for each of RUN_IDS; REASON NULL takes their exclusion back. BY: who does it. */
int exclusions_add(int dir_fd, const char *where, const struct strv *run_ids, const char *reason,
		   const char *by, struct err *err) MUST_CHECK;
/* Borrowed; NULL when RUN_ID is not excluded. */
const struct exclusion *exclusions_find(const struct exclusions *e, const char *run_id);
void exclusions_release(struct exclusions *e);

static inline void auto_exclusions(struct exclusions *e)
{
	exclusions_release(e);
}
