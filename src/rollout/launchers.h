/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launchers.h -- whether the trials of a plan can run where they are to.
 */
#pragma once
#include "base/err.h"
#include "base/strv.h"
#include "store/planfile.h"

/* Each launcher that is a program is started and asked once, with its settings; what cannot travel is told in a line. *ASKS_HERE
 * becomes the names of those whose trials ask models by way of the gateway here. Blocks. ERR_USAGE. */
int launchers_check(int root_fd, const struct planfile *p, struct strv *asks_here,
		    struct err *err) MUST_CHECK;
