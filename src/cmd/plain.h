/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * plain.h -- output for a locale without UTF-8, which LC_ALL, LC_CTYPE or LANG names (LC_ALL=C). Where none of them is
 * set, as in cron jobs and containers, it is UTF-8.
 */
#pragma once
#include <stdbool.h>
#include "base/buf.h"

bool plain_is_wanted(void);
/* Append S in ASCII: our marks by a character of the same width, anything else as \uXXXX. An incomplete character at
 * its end is left out: returns how many bytes of S were taken. */
size_t plain_text(struct buf *out, const char *s, size_t len);
/* From here on the standard streams are written so, if it is wanted. Call once, before anything is printed. */
void plain_streams(void);
/* What is for programs or is a file's exact content, JSON, CSV, Markdown: standard output goes on as it is written. */
void plain_exact(void);
