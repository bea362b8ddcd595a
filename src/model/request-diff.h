/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * request-diff.h -- the first difference between two request bodies, for people. Pure.
 */
#pragma once
#include <stddef.h>

/* "messages[2].content: recorded "...", now "..."" in one line of at most SIZE - 1 bytes, without control
 * characters. What model_request_hash leaves out is no difference. */
void request_diff(char *out, size_t size, const char *recorded, size_t recorded_len,
		  const char *now, size_t now_len);
