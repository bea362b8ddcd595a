/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launch-driver.h -- launchers that are programs: the one place that speaks the protocol of docs/launchers.md.
 */
#pragma once
#include "launch/launch.h"

extern const struct launcher launch_driver;
