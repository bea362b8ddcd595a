/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/event.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"

void event_emit(int fd, json_t *event_take)
{
	AUTO(json) json_t *event = event_take;
	AUTO(buf) struct buf line = BUF_INIT;
	struct err ignored;

	json_format(&line, event, false);
	buf_addc(&line, '\n');
	if (path_write_all(fd, line.data, line.len, &ignored))
		return; /* the caller polls FD and learns there that nobody reads any more */
}
