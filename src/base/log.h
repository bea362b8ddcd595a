/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * log.h -- diagnostics on standard error for developers and `--debug`; never results, never user errors.
 */
#pragma once
#include <stdbool.h>

void log_set_debug(bool on);
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
