/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * clusters.h -- which tasks depend on each other. Variants of one problem, or changes to one repository, tend to be solved
 * together: as many tasks say less than as many unrelated ones.
 *
 * By itself a task belongs to the cluster that it names, else to its repository, unless there are fewer than six
 * clusters in all and no task names one: from five or fewer nobody learns what other repositories would do, and the
 * question is then about tasks of these repositories.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "store/store.h"

struct clusters {
	size_t *of;	     /* by task: a number below n; NULL: each task is one of its own */
	size_t n;	     /* clusters */
	size_t repositories; /* that the tasks are of, as far as known */
};

/* KEY: "cluster", "repository", "tag:PREFIX" (the first tag that begins with it) or "none"; NULL: as above. */
int clusters_check(const char *key, struct err *err) MUST_CHECK;
/* Of N tasks, what the trials of each share. */
void clusters_make(struct clusters *out, const struct trial_shared *const *tasks, size_t n,
		   const char *key);
void clusters_release(struct clusters *c);
