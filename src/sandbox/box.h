/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * box.h -- the worker's end of `rollouts-docker box` (src/engine/box.h): a process that starts this sandbox's one
 * container and removes it when we end, however we end.
 */
#pragma once
#include "sandbox/inherited.h"
#include "sandbox/sandbox.h"

#define BOX_CONTROL "/.rollouts/ctl" /* in the box: the folder of the control socket */
#define BOX_SOCKET "s"

/* Start the process with the rights we have now, and describe the container to it: one of SPEC that runs as UID and
 * GID. */
int box_start(struct sandbox_inherited *r, const struct sandbox_spec *spec, uid_t uid, gid_t gid,
	      struct err *err) MUST_CHECK;
/* Ask for the container to be started, and TREES (N detached mounts) to be shown in it: PLACES says which each is, 0 the workspace,
 * 1 + N the cache N of SPEC. The answer comes on r->box: */
int box_ask(struct sandbox_inherited *r, const int *trees, const int *places, size_t n,
	    struct err *err) MUST_CHECK;
/* read what it says; blocks. -1 with its reason when the container was not started. */
int box_answer(struct sandbox_inherited *r, struct err *err) MUST_CHECK;
/* Ask for its network to be taken away or given back; the answer comes as the first did. */
int box_ask_network(struct sandbox_inherited *r, bool on, struct err *err) MUST_CHECK;
/* Have it removed, and wait until that is done; at most a minute. Without one nothing is done. */
void box_end(struct sandbox_inherited *r);
