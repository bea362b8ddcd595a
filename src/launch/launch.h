/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * launch.h -- where workers run. A launcher runs `rollouts-trial DIR` for an attempt somewhere: as a
 * child process (launch-local.c), or as a job of some engine that may keep it waiting. It carries
 * the event lines that the worker writes, and says how the worker ended. One poll loop drives any
 * number of them: nothing here blocks but open, close and launch_end_strays.
 *
 * The caller knows an attempt by its folder below the data folder. What holds only on the machine on
 * which the worker runs is for the launcher to know (`place`). When the launcher says that a worker
 * has ended, that folder is complete, however it had to get there.
 */
#pragma once
#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "core/limits.h"
#include "core/trial.h"

struct launch; /* opaque; a launcher embeds it as its first member */

/* Everything is borrowed, until close. */
struct launch_spec {
	const char *name;	/* of the launcher: of several that are programs, which one */
	const json_t *settings; /* its table [launcher.NAME] (docs/launchers.md); NULL: none */
	int root_fd;		/* the data folder */
	const char *worker;	/* absolute path of rollouts-trial */
	size_t parallel;	/* never more at once */
	/* Sockets of the gateway, absolute: for agents, and for workers. NULL: there is none. */
	const char *gateway, *control;
	/* Files below the data folder: what a gateway elsewhere is started with, and by which the one here is reached from
	 * elsewhere. NULL: no model is asked so. */
	const char *node_keys, *node_door;
	uid_t uid_base; /* where it may, the worker of trial i becomes user uid_base + i; 0: none does */
};

/* One attempt to be run. Everything is borrowed for the call. */
struct launch_job {
	size_t id;	 /* the caller's; below spec.parallel, and of no other job */
	const char *dir; /* "runs/RUN_ID/attempts/N"; trial.json is in it */
	/* To be shown to the gateway by its agent and by its graders; NULL: there is none. */
	const char *token, *judge_token;
	const struct limits *limits;
};

enum launch_kind {
	/* The job is known to its engine by NAME. Told before its first line, again if that changes,
	 * and never by a launcher that cannot attach. */
	LAUNCH_NAMED,
	/* Its engine has begun with it; it has not said anything yet. Never told by a launcher that does not know. */
	LAUNCH_STARTING,
	/* LINE is one event line of the worker. The first one says that it has started. */
	LAUNCH_LINE,
	/* The worker is gone, it has said its last line, its folder is complete. HOW tells of the end
	 * as far as the launcher saw it ("exit status 3", "its node failed"). The id is free again. */
	LAUNCH_ENDED,
};

/* Everything is borrowed for the call. */
struct launch_event {
	enum launch_kind kind;
	size_t id;
	const char *name;
	const char *line; /* without its newline, not NUL-terminated */
	size_t len;
	const char *how;
};

/* Takes an event. It may submit, attach and cancel. */
typedef void launch_fn(void *arg, const struct launch_event *e);

enum launch_cancel {
	LAUNCH_STOP, /* end in order: a result is still written */
	LAUNCH_KILL, /* at once */
};

#define LAUNCH_FDS 4 /* at most per job, and at least for all of them */

struct launcher {
	const char *name; /* as written in the TOML; NULL: as launch_spec has it */
	/* A worker that has said nothing for so long since submit hangs. 0: it may wait for its turn
	 * as long as its engine wishes. */
	int64_t first_line_ms;

	int (*open)(struct launch **out, const struct launch_spec *spec, struct err *err);
	/* Whether a job with these limits may be submitted now. NULL: always. */
	bool (*fits)(const struct launch *l, const struct limits *limits);
	/* Fill in what of an attempt depends on where it will run, before trial.json is written: the
	 * sockets of the gateway, the user it runs as, where its agent's programs
	 * are. Until then no path in it is absolute but those of the agent's mounts. What is put in
	 * lives until close. */
	void (*place)(struct launch *l, struct attempt *a);
	/* Run a job. It may be handed on later, many at once: when that fails, the job ends. An answer
	 * that was lost must not run it twice: its folder names it. */
	int (*submit)(struct launch *l, const struct launch_job *job, struct err *err);
	/* Take up a job that was submitted under a supervisor that is gone, whether it waits, runs or
	 * has ended. From here on it is like one submitted now; lines told before may be told again.
	 * NAME is as in LAUNCH_NAMED; NULL: nobody wrote it down, and there may be no such job: then it
	 * is submitted. NULL in the table: jobs do not outlive their supervisor, see end_strays. */
	int (*attach)(struct launch *l, const struct launch_job *job, const char *name,
		      struct err *err);
	/* End what a supervisor that is gone left running in folders that start with PREFIX, and wait
	 * until it has: what it finished is on disk then. NULL for a launcher that attaches. */
	int (*end_strays)(int root_fd, const char *prefix, struct err *err);

	/* What to poll; at most LAUNCH_FDS * parallel. Returns how many. */
	size_t (*watch)(const struct launch *l, struct pollfd *fds);
	/* When it wants `poll` though no descriptor speaks, as clock_mono_ms; -1: never. NULL: never. */
	int64_t (*due)(const struct launch *l);
	/* The one function that tells anything. Hand on what happened, given the polled descriptors. Called after every wait. */
	void (*poll)(struct launch *l, const struct pollfd *fds, launch_fn *fn, void *arg);
	/* A wish: the job still ends by LAUNCH_ENDED. */
	void (*cancel)(struct launch *l, size_t id, enum launch_cancel how);
	/* Free. What still runs is killed and waited for, unless it can be attached to later. */
	void (*close)(struct launch *l);
};

struct launch {
	const struct launcher *launcher;
};

/* By the name used in TOML; NULL when there is none. Every launcher that is a program is one and the same. */
const struct launcher *launch_find(const char *name);
/* Whether jobs of that launcher outlive their supervisor. */
bool launch_attaches(const char *name);
/* Whether the launcher can be used with these settings, by starting its program and asking it. *ASKS_HERE: whether its trials ask
 * their models by way of the gateway of this machine. Blocks. */
int launch_check(int root_fd, const char *name, const json_t *settings, bool *asks_here,
		 struct err *err) MUST_CHECK;
/* end_strays of every launcher there is. */
int launch_end_strays(int root_fd, const char *prefix, struct err *err) MUST_CHECK;
