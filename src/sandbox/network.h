/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * network.h -- the network of a local sandbox: a loopback device and nothing else.
 */
#pragma once
#include "base/err.h"

/* Enter a new network namespace, which belongs to the user namespace we are in, and set it up: lo is up, every port may be
 * listened on and ICMP echo sent, as in a container. What is started from here on shares it. */
int network_enter(struct err *err) MUST_CHECK;
