/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * sites.h -- where the trials of a rollout run: each launcher that one of them names, opened once. A
 * job has one id at all of them.
 */
#pragma once
#include "sched/sched.h"

struct site {
	const char *name; /* as trials have it; borrowed */
	const struct launcher *launcher;
	struct launch *launch;
	struct pollfd *fds; /* what it watches in this turn */
	size_t done;	    /* trials that ended there and are not tried again */
};

struct sites {
	struct site *v;
	size_t n;
};

/* Those of the items of O, which is borrowed. ERR_USAGE when there is no such launcher. OUT must be
 * closed in any case. */
int sites_open(struct sites *out, const struct sched_options *o, struct err *err) MUST_CHECK;
/* That of the trial of an item. */
const struct site *sites_of(const struct sites *s, const struct trial *t);
/* The trial has ended there for good. */
void sites_count(struct sites *s, const struct trial *t);
/* What to poll; at most LAUNCH_FDS for each job and site. Returns how many. */
size_t sites_watch(struct sites *s, struct pollfd *fds);
/* When one of them wants to be polled without an event, as clock_mono_ms; -1: never. */
int64_t sites_due(const struct sites *s);
/* After a wait: hand on what happened at all of them. */
void sites_poll(struct sites *s, launch_fn *fn, void *arg);
void sites_close(struct sites *s);
