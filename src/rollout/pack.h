/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * pack.h -- a rollout as one file to be kept, sent and unpacked elsewhere: a tar archive of a data folder, NAME@STAMP/, with that rollout,
 * its runs and the tasks they were made from, and first of all pack.json, which lists every file with its hash.
 * Neither caches that are made again, nor what killed workers left, nor what this machine alone needs: the secret of the
 * gateway's tokens, sockets. Prints nothing.
 */
#pragma once
#include "store/store.h"

#define PACK_MANIFEST "pack.json"
#define PACK_VERSION 1

struct pack_sums {
	size_t files, trials;
	int64_t bytes;	     /* of the files */
	struct strv blanked; /* files in which a password of a URL was replaced by *** */
	struct strv found;   /* of a public one: why it was refused, a line each */
};

struct pack_how {
	bool public;	  /* for anybody: as public.h has it */
	unsigned without; /* of it: enum public_without */
	const struct strv *allowed;
};
/* Write REF's archive to FD. ERR_USAGE for a rollout that is running, or has run folders of another. SUMS is the caller's to release. */
int pack_write(const struct store *s, const struct rollout_ref *ref, const struct pack_how *how,
	       int fd, struct pack_sums *sums, struct err *err) MUST_CHECK;

/* Take the archive read from FD, a file or a pipe, into the data folder, as merge_rollouts takes a rollout in. Nothing is
 * taken of one that is damaged, or holds what pack.json does not list. */
struct merge_step;
int pack_read(const char *data_dir, int fd, void (*done)(void *arg, const struct merge_step *step),
	      void *arg, struct err *err) MUST_CHECK;
