/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * images.h -- the images of a rollout's containers, made by rollouts-docker before its trials start.
 */
#pragma once
#include "rollout/session.h"

/* Have the images of the trials of W found, pulled or built, and tell L of it; blocks for as long as builds take.
 * An image that cannot be made is its trials' infra_error. The plan
 * is written again with the id of each image that is there. Without containers nothing is done. */
int images_prepare(struct session *s, const struct listener *l, const struct session_work *w,
		   struct err *err) MUST_CHECK;
