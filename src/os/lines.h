/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * lines.h -- lines out of a stream that is read in pieces.
 */
#pragma once
#include <stddef.h>
#include "base/buf.h"

/* A whole line, without its newline and not NUL-terminated; borrowed for the call. */
typedef void lines_fn(void *arg, const char *line, size_t len);

/* Hand on the lines that the N bytes of DATA end, from where they were read; what is cut in two is kept in BEGUN. A line
 * of more than MAX bytes is dropped up to its newline. */
void lines_feed(struct buf *begun, const char *data, size_t n, size_t max, lines_fn *fn, void *arg);
