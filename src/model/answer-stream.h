/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * answer-stream.h -- an answer that came in pieces, put together: what it would have been without streaming, in the
 * same dialect. What broke off half way gives what there is. Pure.
 */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include "base/buf.h"

/* BODY is an event stream of any of the four dialects. A new reference; NULL where nothing in it is an answer. *WHOLE
 * (unless NULL): it came to the end that its dialect has, or to an error. */
json_t *answer_join(const struct buf *body, bool *whole);
/* TEXT begins as an event stream does, whatever it is said to be. */
bool answer_is_stream(const struct buf *text);
