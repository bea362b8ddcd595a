/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * answers.h -- part of summary_make: which models answered. Private to this room.
 */
#pragma once
#include "analysis/summary.h"

void answers_make(struct summary *s); /* of its rows and conditions */
void answers_release(struct summary *s);
