/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * cgroup.h -- limits held by the kernel, where a part of the cgroup v2 tree with the memory and pids
 * controllers was delegated to us (`systemd-run --user --scope -p Delegate=yes rollouts run ...`).
 *
 * The kernel lets a group either hold processes or limit groups below it. So the supervisor first moves
 * from its own group OWN into a new one below it, OWN/rollouts-supervisor, and then makes one beside that
 * for each sandbox.
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

/* Do so, once, before anything is started. False: nothing was delegated, and nothing was changed. */
bool cgroup_make_room(void);
/* Remove the groups of sandboxes whose makers ended without doing it. Others are not touched. */
void cgroup_sweep(void);
/* Undo cgroup_make_room, once everything that was started has ended. Nothing is done when another
 * supervisor uses the same group, or a sandbox does not end. */
void cgroup_leave_room(void);
/* Make a group for a sandbox of the calling process. -1: the supervisor made no room, or a limit was
 * refused. */
int cgroup_open(struct cgroup *out, const struct cgroup_limits *limits, struct err *err) MUST_CHECK;
/* Move the calling process into it; for a child between fork and exec, which cannot tell of a failure:
 * ask cgroup_is_used. */
void cgroup_join(const struct cgroup *c);
/* Whether there is a process in it, by the kernel's account. */
bool cgroup_is_used(const struct cgroup *c);
/* The group, made by somebody else, that counts the memory of the process of PIDFD, in cgroup v2 or v1. The path
 * stays NULL when there is none that we can read. */
void cgroup_of_process(struct cgroup *out, int pidfd);
/* memory.events: how many of its processes the kernel has killed for memory. */
int64_t cgroup_oom_kills(const struct cgroup *c);
/* memory.peak; 0 unknown. */
int64_t cgroup_memory_peak(const struct cgroup *c);
/* Removes the group, which must be empty by now; one that is not is left to cgroup_sweep. */
void cgroup_release(struct cgroup *c);
