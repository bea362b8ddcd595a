/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * log-line.h -- JSON put together by hand where it is written for each call: a tree of jansson's costs more
 * than all the rest of a small call's accounting.
 */
#pragma once
#include <stdint.h>
#include "base/buf.h"
#include "gateway/usage-meter.h"

void log_text(struct buf *out, const char *text); /* quoted; what is not ASCII becomes ? */
void log_number(struct buf *out, int64_t v);
void log_usage(struct buf *out, const struct token_usage *u);
