/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * show.h -- one run on disk, for the verb `show` only.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"
#include "store/store.h"

#define SHOW_MAX_FILE (128u << 20)

/* A run folder, opened, and the attempt to be shown. */
struct show_run {
	const struct store *store;
	char *id, *shown; /* owned; shown: its path for people */
	int fd;
	int attempt, attempts; /* attempts: the highest number there is */
};

struct show_part {
	const char *name, *file, *help;
	const char *none; /* what an empty file says; NULL: it is never empty */
	bool is_json;
	/* What is shown of the file; NULL: the file as it is. */
	int (*make)(struct buf *out, const struct buf *file, struct err *err);
};

#define SHOW_PARTS 10
extern const struct show_part show_parts[SHOW_PARTS];

/* The run WORD, its id or a beginning of it, and its attempt: ATTEMPT, or with 0 the one whose result counts. OUT starts with fd -1, and is
 * to be closed in any case. */
int show_open_run(const struct store *s, const char *word, int64_t attempt, struct show_run *out,
		  struct err *err) MUST_CHECK;
void show_close_run(struct show_run *r);
/* The attempt whose result counts, by the journal of the rollout that R is of; 0: not known. */
int show_counting_attempt(const struct show_run *r);
/* Print what happened, in short. */
int show_overview(const struct show_run *r, struct err *err) MUST_CHECK;
