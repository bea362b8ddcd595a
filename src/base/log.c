/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/log.h"
#include <stdarg.h>
#include <stdio.h>

static bool debug_on;

void log_set_debug(bool on)
{
	debug_on = on;
}

__attribute__((format(printf, 2, 0))) static void line(const char *level, const char *fmt,
						       va_list ap)
{
	char text[2048];

	vsnprintf(text, sizeof text, fmt, ap);
	fprintf(stderr, "rollouts: %s: %s\n", level, text);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!debug_on)
		return;
	va_start(ap, fmt);
	line("debug", fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("warning", fmt, ap);
	va_end(ap);
}
