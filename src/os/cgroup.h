/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cgroup.h -- limits held by the kernel, where a part of the cgroup v2 tree with the memory and pids
 * controllers was delegated to us (`systemd-run --user --scope -p Delegate=yes rollouts run ...`).
 *
 * Processes and controllers for children exclude each other in one group: the supervisor first moves
 * itself into a leaf, OWN/rollouts-supervisor, and every sandbox then gets a sibling of that leaf.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "base/err.h"

struct cgroup {
	char *path;   /* owned; NULL: none */
	int procs;    /* its cgroup.procs, open for writing */
	bool foreign; /* a container engine's: only to be read */
};

#define CGROUP_INIT                                                                                \
	{                                                                                          \
		NULL, -1, false                                                                    \
	}

struct cgroup_limits {
	int64_t memory_bytes; /* of everything inside, tmpfs and page cache included; 0: none */
	int64_t pids;	      /* 0: none */
	double cpus;	      /* 0: none */
};

/* Once, by the supervisor, before it starts anything. False: nothing was delegated; nothing has changed. */
bool cgroup_make_room(void);
/* Remove groups of sandboxes whose makers are gone: killed, or no longer allowed to. Others are not touched. */
void cgroup_sweep(void);
/* Undo cgroup_make_room, once everything started has ended: back to our own group, no group of ours left.
 * Not when another supervisor shares the leaf, or a sandbox will not end. */
void cgroup_leave_room(void);
/* A group of the calling process, beside the supervisor's leaf. -1: there is no room for one here, or a
 * limit was refused. */
int cgroup_open(struct cgroup *out, const struct cgroup_limits *limits, struct err *err) MUST_CHECK;
/* Move the calling process in; for a child between fork and exec. Whether it helped: cgroup_is_used. */
void cgroup_join(const struct cgroup *c);
/* Whether there is a process in it: what cgroup_join did, in the kernel's own words. */
bool cgroup_is_used(const struct cgroup *c);
/* The group in which memory is counted of the process of PIDFD, made by somebody else, of cgroup v2 or v1. Its path
 * stays NULL when there is none that we can read. */
void cgroup_of_process(struct cgroup *out, int pidfd);
/* memory.events: how many of its processes the kernel has killed for memory. */
int64_t cgroup_oom_kills(const struct cgroup *c);
/* memory.peak; 0 unknown. */
int64_t cgroup_memory_peak(const struct cgroup *c);
/* Removes the group, which must be empty by now; one that is not is left to cgroup_sweep. */
void cgroup_release(struct cgroup *c);
