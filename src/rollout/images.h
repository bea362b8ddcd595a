/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * images.h -- the images of a rollout's containers, made by rollouts-docker while trials whose image is there run
 * already. Before its trials start, the tests of a task are tried in its image (preflight.h).
 */
#pragma once
#include <jansson.h>
#include "os/spawn.h"
#include "rollout/session.h"

#define IMAGES_LINE 4096

struct images {
	struct session *s;
	const struct listener *l;
	const struct session_work *w;
	struct child maker; /* rollouts-docker */
	int in;		    /* what it says; -1: it has ended, with STATUS */
	int status;
	char text[IMAGES_LINE],
		last[IMAGES_LINE]; /* of that: what is no whole line yet, and the last one */
	size_t len;
	bool all;    /* all are waited for */
	bool others; /* there are trials without a container */
	bool tried;  /* they may start */
	json_t *made,
		*open; /* keys of images: there, or known not to be; and their trials may start */
	pid_t try_pid; /* tries tests in the images TRYING; 0: nobody does */
	int from_try;
	json_t *trying;
	char fault[1024]; /* why nothing more may be started; "" as long as that is well */
};

/* Have the images of the trials of W found, pulled or built, L being told of it, and the tests of all trials tried that
 * can be by then. Blocks until the first are there, not for the others, with which images_hook goes on. The plan
 * is written again with the id of each image that is there, and where the repository is in it. An image that cannot be made is
 * its trials' infra_error. IM must be closed in any case. */
int images_open(struct images *im, struct session *s, const struct listener *l,
		const struct session_work *w, struct err *err) MUST_CHECK;
/* Wait for all of them, and try no tests. */
int images_prepare(struct session *s, const struct listener *l, const struct session_work *w,
		   struct err *err) MUST_CHECK;
/* To be handed to the scheduler; valid as long as IM. */
struct sched_hook images_hook(struct images *im);
/* End what still goes on. */
void images_close(struct images *im);
