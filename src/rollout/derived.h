/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * derived.h -- the files beside the journal that can be made from it (store/manifest.h): whoever holds a rollout makes
 * again what of them is missing, damaged, or could not be written before.
 */
#pragma once
#include "rollout/session.h"

/* All that is pending in the journal is written. */
int derived_mend(const struct session *s, struct err *err) MUST_CHECK;
