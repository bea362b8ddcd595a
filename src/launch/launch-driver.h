/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launch-driver.h -- launchers that are programs: the one place that speaks the protocol of docs/launchers.md.
 */
#pragma once
#include "launch/launch.h"

/* Whether the trials of that one ask their models by way of the gateway here. */
bool launch_driver_asks_here(const struct launch *l);
extern const struct launcher launch_driver;
