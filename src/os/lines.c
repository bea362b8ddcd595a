/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "os/lines.h"
#include <string.h>

void lines_feed(struct buf *begun, const char *data, size_t n, size_t max, lines_fn *fn, void *arg)
{
	const char *end = data + n, *newline;

	for (; (newline = memchr(data, '\n', (size_t)(end - data))); data = newline + 1) {
		if (!begun->len) {
			fn(arg, data, (size_t)(newline - data));
			continue;
		}
		buf_add(begun, data, (size_t)(newline - data));
		fn(arg, begun->data, begun->len);
		buf_reset(begun);
	}
	buf_add(begun, data, (size_t)(end - data));
	if (begun->len > max)
		buf_reset(begun);
}
