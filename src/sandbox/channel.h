/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * channel.h -- the worker's end of the control socket to rollouts-init, and the certainty that PID 1 and
 * with it everything in the box is gone.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "base/err.h"
#include "init/proto.h"

struct channel {
	int sock;	   /* -1: closed */
	pid_t pid;	   /* of PID 1, as we see it; 0: not known yet */
	int pidfd;	   /* of PID 1; readable once it and all its processes are dead */
	int cancel_fds[2]; /* borrowed; -1: unused */
};

#define CHANNEL_INIT                                                                               \
	{                                                                                          \
		-1, 0, -1,                                                                         \
		{                                                                                  \
			-1, -1                                                                     \
		}                                                                                  \
	}

/* Ready SOCK before its other end is given away: HELLO shall carry the sender's process id. */
int channel_open(struct channel *c, int sock_take, const int cancel_fds[2],
		 struct err *err) MUST_CHECK;
/* Wait for PID 1 to report. ERR_INFRA with err->sys EPIPE when the other end closed instead. */
int channel_hello(struct channel *c, int64_t deadline_ms, struct err *err) MUST_CHECK;
/* Wait until FD (the socket, or another that must be watched together with the cancel descriptors) can be
 * read: ERR_LIMIT at DEADLINE (0: none), ERR_CANCELLED. */
int channel_wait(const struct channel *c, int fd, int64_t deadline_ms, struct err *err) MUST_CHECK;
int channel_send(struct channel *c, const struct proto_request *req, const int *fds, size_t fds_n,
		 struct err *err) MUST_CHECK;
/* The next message. FD (may be NULL) becomes the descriptor it brought, or -1. */
int channel_receive(struct channel *c, struct proto_reply *out, int *fd,
		    struct err *err) MUST_CHECK;
/* Send and wait for the answer of the same kind, others in between being dropped. An error reported by PID 1
 * is ERR_INFRA with err->sys. */
int channel_call(struct channel *c, const struct proto_request *req, int send_fd,
		 struct proto_reply *out, int *fd, struct err *err) MUST_CHECK;
/* The second half of that, after channel_send. */
int channel_answer(struct channel *c, const struct proto_request *req, struct proto_reply *out,
		   int *fd, struct err *err) MUST_CHECK;
/* Close the socket and wait until PID 1 is gone, helping with SIGKILL. Idempotent. ERR_INFRA when it will not
 * go (a process in uninterruptible sleep). */
int channel_end(struct channel *c, struct err *err) MUST_CHECK;
