/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cache.h -- the data folder of a node: inputs of trials by their paths, kept for the next ones, shared by all jobs of one user that
 * are given the same folder. `.inputs` in it says of each what it is and locks it while it is used; the rest lies as in any
 * data folder, so that a worker runs there.
 */
#pragma once
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "node/source.h"

struct cache {
	int root_fd;
	const struct source *source; /* of parcels that are not in the data folder; borrowed */
	int64_t limit_bytes;	     /* what is used least recently goes past it; 0: nothing goes */
};

/* Open or make the folder: ours alone (0711), and no link. ERR_USAGE when it is somebody else's. */
int cache_open(struct cache *c, const char *path, int64_t limit_bytes, struct err *err) MUST_CHECK;
void cache_close(struct cache *c);

/* What holds inputs in place. */
struct cache_hold {
	int *fds;
	size_t n;
};
/* Have INPUTS of a travel.json (inputs.h), from the parcels of the data folder DATA_FD. They stay until OUT is released, which
 * is to be done in any case. Blocks: for who unpacks the same one, and for the unpacking. */
int cache_have(struct cache_hold *out, struct cache *c, int data_fd, const json_t *inputs,
	       struct err *err) MUST_CHECK;
void cache_release(struct cache_hold *h);
/* Remove what is past the limit and nobody uses. */
void cache_trim(struct cache *c);
