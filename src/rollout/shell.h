/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * shell.h -- a sandbox of an attempt that ended, opened again for somebody to look into: by a worker of its own, which makes
 * it as those of a run do, without a gateway. Nothing of the rollout is changed. Prints nothing.
 */
#pragma once
#include "os/spawn.h"
#include "store/store.h"

struct shell_request {
	const char *run_id;
	int attempt;
	const char *mode;	 /* as struct attempt's shell */
	const char *test;	 /* NULL: none */
	const struct strv *argv; /* empty: a shell */
	bool terminal;
};

struct shell {
	int root_fd;
	char *run_id; /* of the hidden folder that it takes */
	struct child worker;
	int events; /* lines of the worker; to be polled, -1 at their end */
	struct buf line;
	struct strv notes; /* what is another than it was then, and what the tests are not shown */
	bool started;	   /* the command runs, or has run */
	bool ended;
	int status;    /* of it, a wait status */
	char *stopped; /* why it was ended; NULL: it was not */
	bool not_found;
	char *failed;  /* why nothing was run in it; NULL: it was */
	bool mistaken; /* by a mistake of the user's */
};

/* Start. DESCRIPTORS: the command's standard input, output and error; borrowed. S is to be ended in any case. */
int shell_start(struct shell *s, const struct store *store, const struct shell_request *q,
		const int descriptors[3], struct err *err) MUST_CHECK;
/* Take what the worker says; false once it has ended and said all. */
bool shell_read(struct shell *s);
/* Stop the worker if it runs, and remove the folder. */
void shell_end(struct shell *s);
