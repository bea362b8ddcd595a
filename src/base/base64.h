/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * base64.h -- bytes as text (RFC 4648, with padding, one line).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"

void base64_encode(struct buf *out, const void *data, size_t len);
/* Append the bytes that TEXT stands for, in the usual letters or in those for URLs (Podman's headers). False: it is not base64; OUT then has some of them. */
bool base64_decode(struct buf *out, const char *text);
