/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "core/event.h"
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"

void event_add(struct buf *lines, json_t *event_take)
{
	AUTO(json) json_t *event = event_take;

	json_format(lines, event, false);
	buf_addc(lines, '\n');
}

void event_try_send(int fd, struct buf *lines)
{
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	size_t sent = 0;

	/* A pipe that can be written to has room for so much. */
	while (sent < lines->len && poll(&p, 1, 0) > 0 && p.revents == POLLOUT) {
		size_t left = lines->len - sent;
		ssize_t n = write(fd, lines->data + sent, left < PIPE_BUF ? left : PIPE_BUF);
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	if (!sent)
		return;
	memmove(lines->data, lines->data + sent, lines->len - sent + 1);
	lines->len -= sent;
}

void event_send(int fd, struct buf *lines)
{
	struct err ignored;

	if (lines->len && path_write_all(fd, lines->data, lines->len, &ignored)) {
		/* The caller polls FD and learns there that nobody reads any more. */
	}
	buf_reset(lines);
}
