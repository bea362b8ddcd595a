/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * leftovers.h -- what of a data folder may be removed: what killed runs left behind, what no plan needs of the
 * cache, one rollout as a whole. Finding it writes nothing.
 */
#pragma once
#include <jansson.h>
#include "base/strv.h"
#include "store/store.h"

struct leftovers_request {
	const char *name, *stamp; /* of one rollout; NULL: of all */
	bool cache;		  /* and what no plan needs of the cache */
	bool engine; /* and containers and images of data folders that no longer exist */
	bool runs; /* instead of all else: that rollout, whose NAME and STAMP must be given whole */
};

struct leftover {
	char *label; /* for people, below the data folder */
	struct strv paths;
	char *name_folder; /* to be removed as well when empty, or NULL */
	int64_t bytes;	   /* that it takes up on the disk */
};

struct leftovers {
	const struct store *store; /* borrowed */
	struct leftover *items;
	size_t n, cap;
	struct strv unreadable; /* rollouts that cannot be read: why, for the user */
	bool live;		/* some rollout is running */
	json_t *used;		/* in the cache, by some plan: path -> true */
	struct strv busy;	/* attempts' folders with a living worker */
	int claimed; /* the rollout to be removed: its journal's descriptor and one, locked; 0: none */
};

/* ERR_USAGE when what is asked for is in use, or may be. OUT must be released in any case. */
int leftovers_find(struct leftovers *out, const struct store *s, const struct leftovers_request *q,
		   struct err *err) MUST_CHECK;
/* I is one of L's. */
int leftovers_remove(const struct leftovers *l, const struct leftover *i,
		     struct err *err) MUST_CHECK;
/* With the records of images that L holds, the images go as well. Without an engine there is nothing to be asked. */
void leftovers_forget_images(const struct leftovers *l);
/* Remove the containers that killed workers of this data folder left, or only look; their names are added to OUT.
 * They take no room to speak of. */
void leftovers_prune_containers(struct strv *out, const struct store *s, bool dry_run);
/* The same for those of any data folder, and for images that were built for one that is gone and that L's rollouts do not
 * use. -1: no engine answers. */
int leftovers_prune_engine(const struct leftovers *l, struct strv *containers, struct strv *images,
			   bool dry_run, struct err *err) MUST_CHECK;
void leftovers_release(struct leftovers *l);
