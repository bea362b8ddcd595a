/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launch-local.h -- workers as child processes of the supervisor.
 */
#pragma once
#include "launch/launch.h"

extern const struct launcher launch_local;
