/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * driver-internal.h -- private to the launcher that is a program: its jobs, and what is heard of them.
 */
#pragma once
#include "launch/launch.h"
#include "launch/peer.h"

enum {
	DRIVER_BATCH = 1000,   /* jobs in one message at most */
	DRIVER_POLL_MS = 1000, /* where the program says nothing else */
};

enum state {
	FREE,
	PACKING,
	READY,	   /* to be submitted */
	SENT,	   /* submitted, not answered for */
	ASKED,	   /* of an earlier supervisor: to be attached to */
	THERE,	   /* its engine has it */
	FETCHING,  /* it has ended, its archive is on its way */
	CAME,	   /* the archive is here */
	UNPACKING, /* by the porter */
	OVER,	   /* to be told */
};

struct job {
	enum state state;
	char *token, *dir, *name, *how, *archive;
	json_t *inputs; /* until it was submitted */
	struct limits limits;
	bool asked;		 /* the program was sent the wish of this state */
	bool again;		 /* whether it is known is asked before it is submitted again */
	bool cancelled;		 /* by us */
	bool stopped, committed; /* its engine ended it; its agent's work was committed by then */
	enum launch_cancel cancel;
	bool to_cancel; /* to be sent */
	int tries;
	int64_t due_ms; /* for CAME: not before; after a kill: given up then; 0: none */
};

struct driver {
	struct launch base;
	struct launch_spec spec;
	char *program, *node, *root, *state_dir;
	struct peer peer, porter;
	int log_fd;
	struct job *jobs;
	json_t *by_token; /* token -> index: of those that are not free */
	bool greeted, polling, answered;
	bool is_shared, attaches, asks_here;
	bool shares; /* agents may work where nothing of their tests is */
	int64_t poll_ms, next_poll_ms, ready_since_ms, restart_ms;
	int deaths;
	size_t batch;
	json_t *done; /* jobs whose files it may forget; to be sent */
	bool fault;   /* refused, and not for its settings */
	char refused[512];
	/* While poll runs. */
	launch_fn *fn;
	void *arg;
};

/* driver-hear.c: a message of the launcher's program, of the porter. ARG is the driver. */
void driver_hear(void *arg, const json_t *m);
void driver_hear_porter(void *arg, const json_t *m);

/* driver-hear.c: the job has ended as HOW says, and is to be told of. */
void driver_over(struct job *j, const char *how);
/* driver-hear.c: hand on an event of job ID; only while poll runs. */
void driver_tell(struct driver *d, size_t id, enum launch_kind kind, struct launch_event e);
void driver_release(struct job *j);
/* driver-hear.c: "RUN_ID.ATTEMPT" of a job's folder; the caller frees. */
char *driver_token(const char *dir);
/* driver-hear.c: have what job ID needs packed, to be submitted then. */
void driver_pack(struct driver *d, size_t id);
