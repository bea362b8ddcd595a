/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * spawn.h -- start host programs, wait for them with a deadline, capture bounded output.
 * Children get only the descriptors named here; everything else is close-on-exec.
 */
#pragma once
#include <stdint.h>
#include <sys/types.h>
#include "base/buf.h"
#include "base/err.h"

#define SPAWN_MORE 4

struct spawn {
	const char *const *argv; /* argv[0] without a slash is looked up in PATH */
	const char *const *env;	 /* the whole environment; NULL: ours */
	int dir_fd;		 /* working directory; AT_FDCWD: ours */
	int in, out, err;	 /* -1: /dev/null. Borrowed. */
	const int *more; /* further descriptors, which become 3, 4 ... in the child; borrowed */
	size_t more_n;	 /* at most SPAWN_MORE */
};

struct child {
	pid_t pid;
	int pidfd; /* polls readable when the child has ended; owned */
};

/* Start, in a process group of its own when GROUP. */
int spawn_start(struct child *out, const struct spawn *s, bool group, struct err *err) MUST_CHECK;
/* Reap: blocks until ended or DEADLINE (clock_mono_ms; 0: none). 0 and *status, or -1 ERR_LIMIT
 * when the deadline came first (the child still runs). Closes pidfd on success. */
int spawn_wait(struct child *c, int64_t deadline_ms, int *status, struct err *err) MUST_CHECK;
/* SIGKILL and reap; group as at start. Safe on a child already reaped (pid 0). */
void spawn_kill(struct child *c, bool group);

/* Run a program to its end. INPUT is its standard input; OUT and ERR_TEXT get what it writes, at most
 * MAX bytes each, and the rest is dropped. Where one of the three is NULL, the descriptor in S is
 * used. Returns when the program has ended; whatever it started and left is killed then. At the
 * deadline everything is killed: -1, ERR_LIMIT. A non-zero exit is no error: see *status. */
int spawn_run(const struct spawn *s, const void *input, size_t input_len, size_t max,
	      int64_t deadline_ms, struct buf *out, struct buf *err_text, int *status,
	      struct err *err) MUST_CHECK;

/* "exit status 3", "killed by SIGSEGV", written into BUF, which is returned. */
const char *spawn_status_text(int status, char buf[48]);
