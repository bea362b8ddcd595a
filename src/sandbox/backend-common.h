/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * backend-common.h -- a sandbox whose files a mount holder of ours holds: what the backends share. A backend starts PID 1 over
 * those files; diff, apply, the disk and the end are here.
 */
#pragma once
#include "os/spawn.h"
#include "sandbox/backend.h"
#include "sandbox/holder.h"

#define COMMON_START_MS 60000 /* a copied workspace may be large */

struct common_sandbox {
	struct sandbox base;
	struct child holder;
	int sock; /* to the mount holder; -1: it is gone */
	uint32_t seq;
	bool du_pending;
	uint32_t du_seq;
	int64_t disk, du_next_ms;
	int64_t du_asked_ms,
		disk_at_ms; /* when the pending, and the last finished one, began; 0: none yet */
	struct sandbox_inherited *inherited; /* what it is opened with; borrowed, or */
	struct sandbox_inherited *own;	     /* its own, when the caller brought none */
	int64_t free;			     /* on the disk, when it was last measured */
	char *plain_root;		     /* of a backend without mounts: the data root's path */
	/* For a container: its overlays as detached mounts, to be given on, and which each is: 0 the workspace, 1 + N cache N. */
	int trees[SANDBOX_OVERLAYS_MAX];
	int tree_places[SANDBOX_OVERLAYS_MAX];
	size_t trees_n;
};

/* Allocate it, open what is inherited unless SPEC brings it, make the scratch directory. NULL with *err. */
struct common_sandbox *common_new(const struct sandbox_backend *backend,
				  const struct sandbox_spec *spec, struct err *err) MUST_CHECK;
/* Start the mount holder and wait until the workspace is there. CTL, ERRORS: for bubblewrap's PID 1 and its words; both
 * -1 where another program starts PID 1. */
int common_start(struct common_sandbox *k, int ctl, int errors, int64_t deadline_ms,
		 struct err *err) MUST_CHECK;
/* The same where PID 1 is a process of this machine: until it has said HELLO. EXPLAIN makes *ERR of what whoever starts it wrote to
 * ERRORS before it ended, and returns -1. */
int common_start_here(struct common_sandbox *k, int (*explain)(int errors, struct err *err),
		      int64_t deadline_ms, struct err *err) MUST_CHECK;
/* After HELLO: open the forwarder to the gateway, where the spec has one. */
int common_start_forwarder(struct common_sandbox *k, struct err *err) MUST_CHECK;

/* A container has its overlays, or never will. */
void common_close_trees(struct common_sandbox *k);

/* The members of a backend of these names. */
int common_apply(struct sandbox *s, int patch_fd, int times_fd, char **why,
		 struct err *err) MUST_CHECK;
int common_stop(struct sandbox *s, struct err *err) MUST_CHECK;
int common_diff(struct sandbox *s, int out_fd, struct repo_diff *out, struct err *err) MUST_CHECK;
int64_t common_disk_bytes(struct sandbox *s, enum sandbox_measure how);
void common_close(struct sandbox *s);
