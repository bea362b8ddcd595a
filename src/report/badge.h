/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * badge.h -- a small picture of a number and how it stands, for a page: an SVG that needs nothing else.
 */
#pragma once
#include "base/buf.h"

enum badge_colour { BADGE_GREEN, BADGE_RED, BADGE_GREY, BADGE_BLUE };

/* LABEL and TEXT may hold anything; what is no printable UTF-8 is replaced. */
void badge_svg(struct buf *out, const char *label, const char *text, enum badge_colour colour);
