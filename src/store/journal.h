/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * journal.h -- events.jsonl: the append-only record of one rollout. One writer, who holds an flock
 * on the file; any number of readers. docs/formats.md describes a line.
 *
 * What was added is in memory until journal_flush hands it to the kernel (it then survives
 * SIGKILL); a thread brings it to the disk in groups, at most 200 ms apart, so that the caller
 * never waits for it.
 */
#pragma once
#include <jansson.h>
#include <stdint.h>
#include "base/buf.h"
#include "base/err.h"
#include "core/trial.h"
#include "store/journal-cost.h"

#define JOURNAL_VERSION 1

struct journal;

/* Open for appending, making the file if it is missing. ERR_USAGE when another process writes it. A
 * last line that was torn gets its newline first. */
int journal_open(struct journal **out, int dir_fd, struct err *err) MUST_CHECK;
/* Number lines on from LAST_SEQ, which journal_read found. */
void journal_continue(struct journal *j, int64_t last_seq);
/* Add a line; J NULL: nobody keeps it. T may be NULL: an event of the whole rollout. FIELDS (may be NULL) is an object. */
void journal_add(struct journal *j, const char *event, const struct trial *t, int attempt,
		 json_t *fields_take);
/* Add LINE of another journal as it is but for its number. */
void journal_add_line(struct journal *j, const json_t *line);
/* The lines added since the last flush; borrowed. */
const struct buf *journal_pending(const struct journal *j);
/* Write what is pending. After a failure the rest stays pending, and another flush goes on with it; one to sync does
 * not go away. */
int journal_flush(struct journal *j, struct err *err) MUST_CHECK;
/* Flush, sync, release the lock, free. NULL is accepted. */
int journal_close(struct journal *j, struct err *err) MUST_CHECK;

struct journal_stats {
	int64_t last_seq;
	int lines, damaged;	  /* damaged: skipped, a torn last line included */
	int first_damaged;	  /* line number from 1; 0: none */
	struct journal_cost cost; /* filled by progress_read and progress_follow */
	char rollout_id[17];	  /* of its first plan, by progress_read; "": an older program's */
};

enum journal_depth {
	JOURNAL_PROGRESS, /* phases and notes are left out, and the results of finished lines: a third of the work */
	/* Finished lines, without their whole result where what is counted of it stands before it; what was
	 * started or interrupted; the cost. */
	JOURNAL_RESULTS,
	JOURNAL_ALL,
};

/* Called for each whole line, in order; LINE is borrowed. */
typedef void journal_fn(void *arg, const json_t *line);
/* Read it all. A missing file is an empty one. ERR_USAGE for a line of a later version. */
int journal_read(int dir_fd, enum journal_depth depth, journal_fn *fn, void *arg,
		 struct journal_stats *stats, struct err *err) MUST_CHECK;

/* Reads a journal while it grows, by the same rules. */
struct journal_reader;
/* The file need not be there yet. DIR_FD is borrowed for the call. */
int journal_reader_open(struct journal_reader **out, int dir_fd, enum journal_depth depth,
			struct err *err) MUST_CHECK;
/* Read what was added since the last call, which may be nothing. Never waits. The last line is left
 * for a later call until its newline is there: the writer may be in the middle of it. */
int journal_reader_next(struct journal_reader *r, journal_fn *fn, void *arg,
			struct err *err) MUST_CHECK;
/* Of everything read so far. */
struct journal_stats *journal_reader_stats(struct journal_reader *r);
void journal_reader_close(struct journal_reader *r); /* accepts NULL */

/* Whether somebody holds the writer's lock. */
bool journal_is_live(int dir_fd);
