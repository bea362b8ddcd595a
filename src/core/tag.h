/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * tag.h -- what may name a rollout: letters, digits, ".", "_" and "-", no more than 64, and nothing
 * that reads as a stamp, since --rollout takes either.
 */
#pragma once
#include "base/err.h"

int tag_check(const char *tag, struct err *err) MUST_CHECK;
