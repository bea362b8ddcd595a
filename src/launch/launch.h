/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launch.h -- where workers run. A launcher starts `rollouts-trial DIR` somewhere, carries the
 * event lines it writes and says how it ended. One poll loop drives any number of them; nothing
 * here blocks but open, adopt and close.
 */
#pragma once
#include <poll.h>
#include <stddef.h>
#include "base/err.h"

struct launch; /* opaque; a launcher embeds it as its first member */

struct launch_spec {
	int root_fd;	    /* the data root: the workers' working directory */
	const char *worker; /* absolute path of rollouts-trial */
	size_t parallel;    /* never more at once */
};

struct launch_job {
	size_t id;		/* the caller's; below spec.parallel, unused at the time */
	const char *dir;	/* "runs/RUN_ID/attempts/N" */
	const char *const *env; /* the whole environment */
	int log_fd;		/* for standard error; borrowed */
};

enum launch_kind {
	LAUNCH_LINE, /* one event line of the worker */
	LAUNCH_ENDED /* it is gone and said its last line: the id is free again */
};

struct launch_event {
	enum launch_kind kind;
	size_t id;
	const char *line; /* without its newline, NUL-terminated */
	size_t len;
	int status; /* wait status */
};

typedef void launch_fn(void *arg, const struct launch_event *e);

enum launch_cancel {
	LAUNCH_STOP, /* end in order: a result is still written */
	LAUNCH_KILL, /* at once */
};

#define LAUNCH_FDS 2 /* at most per job */

struct launcher {
	const char *name; /* as written in the TOML */
	int (*open)(struct launch **out, const struct launch_spec *spec, struct err *err);
	/* Wait until no worker of a supervisor that is gone runs in a directory that starts with
	 * PREFIX: stop those that do. What they finished is on disk then. */
	int (*adopt)(struct launch *l, const char *prefix, struct err *err);
	/* Start N jobs. On failure none is running. */
	int (*submit)(struct launch *l, const struct launch_job *jobs, size_t n, struct err *err);
	/* What to poll; room for LAUNCH_FDS * parallel. Returns how many. */
	size_t (*watch)(const struct launch *l, struct pollfd *fds);
	/* Hand on what happened, given the polled descriptors. FN may submit and cancel. */
	void (*poll)(struct launch *l, const struct pollfd *fds, launch_fn *fn, void *arg);
	void (*cancel)(struct launch *l, const size_t *ids, size_t n, enum launch_cancel how);
	/* Kill what still runs, wait for it, free. */
	void (*close)(struct launch *l);
};

struct launch {
	const struct launcher *launcher;
};

/* By the name used in TOML; NULL when there is none. */
const struct launcher *launch_find(const char *name);
