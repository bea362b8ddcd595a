/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * doctor.h -- the check of `rollouts doctor --models`.
 */
#pragma once
#include "doctor/doctor.h"

/* Each key of a provider there is, by a call that costs a little. */
void doctor_models(struct checks *c);
