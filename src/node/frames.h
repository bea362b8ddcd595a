/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * frames.h -- what rollouts-node and its home say to each other over one pair of descriptors, whatever carries their bytes (ssh, an
 * engine's exec, a socket): frames of a type, the number of what they are about, and up to FRAME_MAX bytes. Nothing blocks.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/buf.h"

/* What a node says before its first frame. A login shell, or what an engine starts, may have talked before. */
#define FRAMES_GREETING "\nrollouts: frames\n"

enum { FRAME_MAX = 128 << 10, FRAMES_FULL = 512 << 10 };

enum frame_type {
	/* From home. */
	FRAME_HELLO = 'H',    /* JSON: v 1; events: bytes of event lines that it has */
	FRAME_FILE = 'F',     /* bytes of the file that was asked for */
	FRAME_FILE_END = 'f', /* all of it is there; text: it is not to be had, and why */
	FRAME_TAKEN = 'T',    /* the archive is on disk */
	FRAME_STOP = 'S',     /* SIGTERM to what runs */
	FRAME_KILL = 'X',     /* SIGKILL */
	FRAME_BYE = 'B',      /* everything is at home: the job's folder may go */
	FRAME_SPENT =
		'U', /* about a worker's connection: what its calls came to before, as a state has it */
	FRAME_LOG =
		'L', /* about a worker's connection: a byte (0 calls, 1 recording), and what to add there */
	/* From the node. */
	FRAME_EVENTS =
		'E', /* event lines (node.h), whole ones; an archive that one names came before it */
	FRAME_GET = 'G',     /* a path below the data folder */
	FRAME_ARCHIVE = 'A', /* JSON: name, bytes, sha256 */
	FRAME_ARCHIVE_BYTES = 'a',
	FRAME_ARCHIVE_END = 'z',
	FRAME_OPEN =
		'O', /* somebody connected: "m" an agent to a model, "c" a worker to the gateway */
	FRAME_LEFT = 'W', /* what ran is gone, and all of its lines were told */
	/* Either way. */
	FRAME_DATA = 'D',   /* of such a connection: bytes, or one message of a worker's */
	FRAME_END = 'C',    /* no more of them */
	FRAME_CREDIT = 'K', /* four bytes: so many were taken off */
	FRAME_PING = 'P',
};

struct frame {
	char type;
	uint32_t id;
	const char *data; /* borrowed, not NUL-terminated */
	size_t len;
};

struct frames {
	int in, out; /* not blocking; borrowed. -1: there is no connection */
	struct buf begun, waiting;
	size_t begun_at, waiting_at; /* what of them is done with */
	bool is_ungreeted;	     /* what comes before the greeting is passed over */
};

#define FRAMES_NONE                                                                                \
	{                                                                                          \
		-1, -1, BUF_INIT, BUF_INIT, 0, 0, false                                            \
	}

void frames_open(struct frames *f, int in, int out);
void frames_release(struct frames *f);
void frames_send(struct frames *f, enum frame_type type, uint32_t id, const void *data, size_t len);
/* So much waits to be written that files and the like had better wait. */
bool frames_are_many(const struct frames *f);
/* Write and read what there is. False: the other side is gone, or says what is no frame. */
bool frames_write(struct frames *f);
bool frames_read(struct frames *f, void (*fn)(void *arg, const struct frame *frame), void *arg);
