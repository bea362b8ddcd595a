/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * mirror.h -- a bucket's rollouts as a data folder of this machine: what is small is brought and kept up to date, archives only when
 * they are asked for. What the journal in the bucket does not tell yet, since its supervisor died or still runs, is told by the results there.
 */
#pragma once
#include "aws/s3.h"

struct mirror {
	struct s3 *s3; /* borrowed */
	const char *dir;
	int dir_fd;
	const char *name, *stamp; /* only these; NULL: all */
	json_t *known;		  /* key -> etag of what is here */
	json_t *results;	  /* token -> true: in the bucket */
	struct strv rollouts;	  /* "NAME/STAMP" that there are */
	struct strv left; /* of them, those that were here and are not of the bucket: not touched */
	bool own; /* the folder is a mirror and nothing else: what is in it may be written over */
};

int mirror_update(struct mirror *m, struct err *err) MUST_CHECK;
/* Bring the archives of the runs whose id begins with RUN (NULL: all). *N: how many came. */
int mirror_archives(struct mirror *m, const char *run, size_t *n, struct err *err) MUST_CHECK;
void mirror_release(struct mirror *m);
