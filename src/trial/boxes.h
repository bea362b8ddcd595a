/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * boxes.h -- private to trial: the sandboxes of an attempt.
 */
#pragma once
#define VERIFIER_TOOLS                                                                             \
	"/opt/rollouts/verifier" /* in a Harbor task's container: what its tests install */
#define VERIFIER_SHIMS "/opt/rollouts/verifier-shims" /* share/verifier */
#include "trial/work.h"

/* While we are root: open what the trial's own user could not open later, for the sandboxes that this
 * attempt will have. */
int work_open_inherited(struct work *w, struct err *err) MUST_CHECK;
/* Where nothing is mounted: the task's layout, the agent and the tools by the paths they have on this machine. Both
 * sandboxes of the attempt, which are never there together, are in the same place. */
int work_unmount(struct work *w, struct err *err) MUST_CHECK;
/* Start one. Only the agent's has its mounts and the forwarder to the gateway. The caller closes it. */
int work_sandbox(struct work *w, struct sandbox **out, enum work_box which,
		 struct err *err) MUST_CHECK;
