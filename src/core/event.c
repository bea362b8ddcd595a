/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/event.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"

void event_add(struct buf *lines, json_t *event_take)
{
	AUTO(json) json_t *event = event_take;

	json_format(lines, event, false);
	buf_addc(lines, '\n');
}

void event_send(int fd, struct buf *lines)
{
	struct err ignored;

	if (lines->len && path_write_all(fd, lines->data, lines->len, &ignored)) {
		/* The caller polls FD and learns there that nobody reads any more. */
	}
	buf_reset(lines);
}
