/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * rootfs.h -- the mounts a local sandbox is made of, put together in the holder's mount namespace on a small
 * tmpfs, and bubblewrap's command line over them. Every source has an absolute path there, wherever the
 * data root is and whatever its parents permit.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"
#include "sandbox/inherited.h"
#include "sandbox/sandbox.h"

struct rootfs {
	const char *dir;	 /* where the tmpfs is; a static string */
	bool overlay;		 /* what the workspace became */
	uint32_t cache_overlays; /* a bit for each cache that became one; the others are copies */
};

/* For a container: detached mounts of its overlays, the workspace's first, to be shown in it by somebody who may. TREES has room
 * for SANDBOX_OVERLAYS_MAX; the caller closes them. */
int rootfs_detach(const struct rootfs *st, int *trees, size_t *trees_n, struct err *err) MUST_CHECK;
/* Inside a user and mount namespace of ours, the working directory being the data root. The scratch directory exists with its tmp, vartmp, home and
 * app; repo or overlay directories are made here. */
int rootfs_build(struct rootfs *st, const struct sandbox_spec *spec,
		 struct sandbox_inherited *inherited, struct err *err) MUST_CHECK;
/* CTL: the descriptor PID 1 inherits. */
void rootfs_command(const struct rootfs *st, struct strv *argv, const struct sandbox_spec *spec,
		    const struct sandbox_inherited *inherited, int ctl);
