/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * peer.h -- a program of ours, or of others, that speaks lines of JSON over its standard input and output, from within a poll
 * loop: nothing here blocks but peer_start and peer_stop.
 */
#pragma once
#include <jansson.h>
#include <poll.h>
#include "base/buf.h"
#include "os/spawn.h"

struct peer {
	struct child child; /* pid 0: it does not run */
	int fd;		    /* both of its streams; -1: closed */
	struct buf begun;   /* the beginning of its next line */
	struct buf waiting; /* what it has not taken yet */
};

#define PEER_NONE                                                                                  \
	{                                                                                          \
		.child = {0, -1}, .fd = -1, .begun = BUF_INIT, .waiting = BUF_INIT                 \
	}

/* Start ARGV in DIR_FD, its standard error going to ERR_FD. */
int peer_start(struct peer *p, const char *const *argv, int dir_fd, int err_fd,
	       struct err *err) MUST_CHECK;
/* To be sent when it can take it. */
void peer_send(struct peer *p, json_t *message_take);
/* What to poll. */
struct pollfd peer_watch(const struct peer *p);
/* Given what was polled: write, read, hand on each line that is a JSON object, borrowed. False: it has left. */
bool peer_turn(struct peer *p, short revents, void (*fn)(void *arg, const json_t *message),
	       void *arg);
/* Give it what it has not taken yet, close its input, give it WITHIN_MS to leave, kill it, free. Safe on one that never started. */
void peer_stop(struct peer *p, int64_t within_ms);
