/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * inherited.h -- the inside of struct sandbox_inherited: what a sandbox is built from. A descriptor from before
 * a change of mount namespace cannot be mounted from, hence paths for those who may use them later, and
 * detached mounts for a worker that will not be able to.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "os/cgroup.h"
#include "os/spawn.h"
#include "sandbox/sandbox.h"

struct source {
	char *path; /* absolute; owned */
	int tree; /* a detached mount of it, or -1; given away when mounted. Without mounts: itself, O_PATH */
};

struct sandbox_inherited {
	bool by_root; /* the processes inside will be the machine's root, without its capabilities */
	int seccomp;
	bool own_user; /* nothing else on the machine runs as the user of the processes inside */
	char *etc;     /* below the data root, its /etc (etc.h); owned; NULL: there is none */
	struct source init;
	struct source gateway; /* its socket, handed to PID 1 alone; path NULL: no forwarder */
	struct source
		lower; /* the baseline's repo with its owner mapped; tree -1: use the folder itself */
	struct source below;   /* the same of its below/, where it has one */
	struct source *mounts; /* as many as the spec has */
	size_t mounts_n;
	struct source caches[SANDBOX_CACHES_MAX]; /* with their owners mapped, where that can be */
	bool caches_mapped;  /* by root, who may show an overlay to a container */
	struct cgroup group; /* path NULL: the limits are watched instead */
	int box; /* socket to the process that may speak to the container engine; -1: none */
	struct child box_process;
};
