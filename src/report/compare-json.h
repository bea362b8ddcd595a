/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * compare-json.h -- a comparison as one JSON object. Private to this room.
 */
#pragma once
#include "analysis/compare.h"

void compare_json(struct buf *out, const struct comparison *c);
