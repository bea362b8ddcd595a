/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * decode.h -- a body as it was before its Content-Encoding: gzip, deflate, br, zstd. Pure; what is decoded is not trusted.
 */
#pragma once
#include <stddef.h>
#include "base/buf.h"
#include "base/err.h"

/* Append what the N bytes at DATA stand for to OUT: at most MAX bytes of it. CODING as the header has it ("gzip", or
 * several after commas, applied in that order). ERR_LIMIT when it is longer; ERR_USAGE when nobody knows the coding, or
 * the data are none of it. */
int decode_body(struct buf *out, const char *coding, const void *data, size_t n, size_t max,
		struct err *err) MUST_CHECK;
