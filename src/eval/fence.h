/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fence.h -- private to eval: text that nobody vouches for, put before a model so that it cannot pass for our own words. A
 * fence has a code that was drawn after the text was written; each line inside is quoted; what cannot be seen is spelled
 * out; and what resembles a fence, in whatever letters, is taken out. Pure.
 */
#pragma once
#include <stddef.h>
#include "base/buf.h"

#define FENCE_CODE 33 /* 32 hex digits and a NUL */

/* Append TEXT between the fence's two lines, which name WHAT (ours, one word) and CODE. */
void fence_add(struct buf *out, const char *code, const char *what, const char *text, size_t len);
/* One line of such text without a fence, for a name among our own words: quoted, and cut after MAX bytes. */
void fence_name(struct buf *out, const char *text, size_t max);
