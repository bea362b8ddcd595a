/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * network-fault.h -- whether a pull or a build that failed did so by the network's fault, so that trying again may help.
 *
 * An engine answers 500 to whatever goes wrong there, and a client ends with 1: what they know stands in the message. So
 * numbers and codes in it go first (HTTP statuses, the registry's codes, BuildKit's, the exit status of a RUN whose program
 * tells network faults apart), and words only decide where a program gives no code.
 */
#pragma once
#include <stdbool.h>

/* TAIL: the last lines of `docker build`, `docker pull` or Podman's. */
bool network_failed(const char *tail);
/* Whether it was refused for now (429, 503); *SECONDS: until when, 0 where TAIL does not say. */
bool network_refused(const char *tail, int *seconds);
