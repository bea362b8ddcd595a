/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * entry-point.h -- private to trial: the ENTRYPOINT of a container's image, which may start services that the agent and
 * the tests need. It runs beside them, as a child of our PID 1, with a program that does nothing as its arguments.
 */
#pragma once
#include "trial/work.h"

/* How long work_entry_point may take at most. */
int64_t work_entry_ms(const struct work *w);
/* Start the image's, if it has one, and wait until it is ready: until its HEALTHCHECK passes, else until it comes to run its
 * arguments, has ended with 0, or is there for ten seconds. To be called before the first command. ERR_INFRA with its last
 * words where it fails; what it printed is kept in the attempt's logs. */
int work_entry_point(struct work *w, struct sandbox *box, enum work_box which,
		     struct err *err) MUST_CHECK;
