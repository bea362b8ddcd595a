/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * stage.h -- the mounts a local sandbox is made of, put together in the keeper's mount namespace on a small
 * tmpfs, and bubblewrap's command line over them. Every source has an absolute path there, wherever the
 * data root is and whatever its parents permit.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"
#include "sandbox/rights.h"
#include "sandbox/sandbox.h"

struct stage {
	const char *dir; /* where the tmpfs is; a static string */
	bool overlay;	 /* what the workspace became */
};

/* For a container: a detached mount of its overlay, to be shown in it by somebody who may. */
int stage_detach(const struct stage *st, struct err *err) MUST_CHECK;
/* Inside a user and mount namespace of ours, the working directory being the data root. The scratch directory exists with its tmp, vartmp, home and
 * app; repo or overlay directories are made here. */
int stage_build(struct stage *st, const struct sandbox_spec *spec, struct sandbox_rights *rights,
		struct err *err) MUST_CHECK;
/* CTL: the descriptor PID 1 inherits. */
void stage_command(const struct stage *st, struct strv *argv, const struct sandbox_spec *spec,
		   const struct sandbox_rights *rights, int ctl);
