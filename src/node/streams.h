/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * streams.h -- connections of agents and workers, carried over frames.h: each is a socket here and a number over there. One whose reader
 * is slow holds back itself alone: STREAM_WINDOW bytes of it are on their way at most.
 */
#pragma once
#include <poll.h>
#include "node/frames.h"

enum { STREAM_WINDOW = 256 << 10, STREAM_MESSAGE_MAX = 64 << 10 };

struct stream {
	uint32_t id;
	int fd;		       /* owned; -1: not connected yet */
	bool is_worker;	       /* messages (SOCK_SEQPACKET), not bytes */
	struct buf waiting;    /* to be written to fd */
	size_t on_its_way;     /* sent, not yet taken off over there */
	bool ended, heard_end; /* by the socket here, by the other side */
	/* Of a worker's, the calls' log and the recording: written to where it runs, read at home. Owned; -1: none */
	int files[2];
	int64_t read_bytes[2];
	struct far_account *account; /* of a worker's, on its node: far-accounts.h; owned */
};

struct streams {
	struct stream *v;
	size_t n, cap;
	struct frames *frames;
	/* Called with a message that a worker or a gateway sent, before it is sent on; may be NULL. */
	void (*before)(void *arg, struct stream *s);
	/* At home: set where a gateway left a worker, who is not to know: there will be another one. NULL: workers hear of it. */
	bool *lost;
	/* On a node: a worker's message is about to be sent; one for it came, which may be changed. False: it is not for it. */
	void (*sent)(struct stream *s, const char *text, size_t n);
	bool (*came)(struct stream *s, struct buf *text);
	void (*forget)(struct far_account *a);
	void *arg;
};

struct stream *streams_add(struct streams *s, uint32_t id, int fd, bool is_worker);
struct stream *streams_find(struct streams *s, uint32_t id);
/* What to poll: one entry for each of v. */
size_t streams_watch(const struct streams *s, struct pollfd *fds);
/* The N entries of streams_watch, polled. */
void streams_turn(struct streams *s, const struct pollfd *fds, size_t n);
/* A frame of the types DATA, END, CREDIT. */
void streams_hear(struct streams *s, const struct frame *f);
/* Free those that are over. */
void streams_sweep(struct streams *s);
/* Close those for which STAYS, NULL: none, says no. */
void streams_close(struct streams *s, bool (*stays)(struct stream *s));
