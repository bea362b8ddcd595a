/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * fdio.h -- descriptors: pipes, passing them over sockets, locks, the descriptor table.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <poll.h>
#include "base/err.h"

int fd_pipe(int fds[2], struct err *err) MUST_CHECK;	       /* O_CLOEXEC both */
int fd_socketpair_seq(int fds[2], struct err *err) MUST_CHECK; /* SOCK_SEQPACKET, O_CLOEXEC both */
void fd_set_cloexec(int fd, bool on);
void fd_set_nonblock(int fd, bool on);
/* Make everything from LOW up close-on-exec. */
void fd_cloexec_from(int low);

/* As poll(), until DEADLINE (clock_mono_ms; 0: none): 0 only once it has come. A signal ends no wait. */
int fd_poll(struct pollfd *p, nfds_t n, int64_t deadline_ms);

/* One message with descriptors; fds may be NULL. Returns bytes sent or -1 (errno kept in err->sys).
 */
int fd_send(int sock, const void *data, size_t n, const int *fds, size_t fds_n,
	    struct err *err) MUST_CHECK;
/* One message; up to *fds_n descriptors (O_CLOEXEC, owned by the caller); *fds_n becomes the number
 * got. 0 at end of file. Waits until DEADLINE (clock_mono_ms; 0: for ever), then ERR_LIMIT. */
ssize_t fd_recv(int sock, void *data, size_t max, int *fds, size_t *fds_n, int64_t deadline_ms,
		struct err *err) MUST_CHECK;

/* A listening socket of the file system, NAME below DIR_FD, whatever the length of its path; replaces what is there. TYPE is SOCK_STREAM or
 * SOCK_SEQPACKET. Returns the fd or -1. */
int fd_listen_at(int dir_fd, const char *name, int type, mode_t mode, struct err *err) MUST_CHECK;

/* Connect to such a socket. Returns the fd or -1, an ERR_INFRA that is worth a retry. */
int fd_connect_at(int dir_fd, const char *path, int type, struct err *err) MUST_CHECK;

/* Exclusive advisory lock on PATH (made if missing), held until the fd is closed. Blocks until
 * DEADLINE (0: for ever; already past: try once). Returns the fd or -1, ERR_LIMIT when somebody
 * else has it. A holder may unlink PATH: whoever waited then locks the next file of that name. */
int fd_lock(int dir_fd, const char *path, int64_t deadline_ms, struct err *err) MUST_CHECK;
