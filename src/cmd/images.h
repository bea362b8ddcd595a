/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * images.h -- what run, resume and eval do about containers before trials start: settle which sandbox "auto" is, and
 * have the images made by rollouts-docker.
 */
#pragma once
#include "cmd/frontend.h"
#include "cmd/session.h"

/* Make the sandbox of every entry local, docker or none, and read what the images are made from. Mistakes are lines
 * appended to PROBLEMS; -1 and ERR_INFRA when a container is needed and no engine answers. */
int images_resolve(struct frontend *f, struct strv *problems, struct err *err) MUST_CHECK;
/* Have the images of the trials of W found, pulled or built; shows what happens. An image that cannot be made is its
 * trials' infra_error. Without containers nothing is done. */
int images_prepare(const struct session *s, struct display *d, const struct session_work *w,
		   struct err *err) MUST_CHECK;
