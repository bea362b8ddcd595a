/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * proto.h -- what a worker and rollouts-init say to each other over one SOCK_SEQPACKET socket. One
 * message is one request or one reply; descriptors ride on it. Both ends come from the same build, so the
 * structs are the wire format; PROTO_VERSION catches a stale binary.
 *
 *   worker -> init                                         init -> worker
 *                                                          HELLO (status = PROTO_VERSION), once
 *   EXEC    fds: args, stdin, stdout, stderr               EXITED when it has ended
 *   KILLALL                                                EXITED first if a command ran, then KILLALL
 *   KILLTREE: only the command's own tree ends      the same
 *   PUT     path, mode; fds: content                       PUT
 *   GET     path                                           GET; fds: the file
 *   STATS                                                  STATS
 *   FORWARD port (0: any); fds: a unix socket, O_PATH      FORWARD (status = port)
 *   CONFINE path; fds: Landlock ruleset, filters, folder   CONFINE
 *   SERVE   as EXEC                                        SERVE: it is being started
 *   SERVICE                                                SERVICE (processes: enum proto_service; status, once it ended)
 */
#pragma once
#include <stdint.h>

#define PROTO_VERSION 8
#define PROTO_FDS 4
#define PROTO_GROUPS 32

enum proto_op {
	PROTO_HELLO = 1,
	PROTO_EXEC,
	PROTO_EXITED,
	PROTO_KILLALL,
	PROTO_PUT,
	PROTO_GET,
	PROTO_STATS,
	PROTO_FORWARD,
	PROTO_SERVE,
	PROTO_SERVICE,
	/* Not PID 1 of a namespace: be held by the ruleset, hold commands by the filters (each a uint32_t, and so many
	 * struct sock_filter), and know files by paths below PATH, the folder, alone. Before the first EXEC. */
	PROTO_CONFINE,
	PROTO_KILLTREE, /* only what descends from the command; the rest lives on */
};

/* The entry point of an image, which runs on beside the commands. */
enum proto_service {
	PROTO_SERVICE_NONE,
	PROTO_SERVICE_STARTING, /* it runs */
	PROTO_SERVICE_READY, /* it has come to run what it was given, `rollouts-init` without arguments */
	PROTO_SERVICE_ENDED, /* what it left may run on */
};

enum proto_flags {
	PROTO_KILL_AT_END = 1 << 0, /* EXEC: sweep everything away before EXITED is sent */
	PROTO_SET_USER = 1 << 1,    /* EXEC: become uid and gid */
	PROTO_PRECISE = 1 << 2,	    /* STATS: proportional memory instead of the plain sum */
	PROTO_SHARED_USER = 1 << 3, /* CONFINE: others run as our user as well */
	PROTO_UNHELD = 1 << 6,	    /* CONFINE: there is no ruleset */
	PROTO_PRIVILEGES = 1 << 5,  /* EXEC: its programs may become others (set-uid): sudo */
	PROTO_UNTRACED = 1 << 6,    /* EXEC: tracing is refused */
	PROTO_TERMINAL =
		1 << 4, /* EXEC: standard input is a terminal, and becomes the command's own */
};

struct proto_request {
	uint32_t op, flags;
	uint32_t argc, envc; /* EXEC: strings in the args file */
	uint32_t uid, gid;
	uint32_t groups[PROTO_GROUPS], groups_n; /* EXEC, beside gid */
	uint64_t caps;				 /* EXEC: the capabilities to keep, as a mask */
	uint64_t nofile, nproc, fsize;		 /* EXEC: rlimits; 0 leaves one as it is */
	uint32_t mode;				 /* PUT */
	uint32_t port;				 /* FORWARD */
	char path[4096];			 /* PUT, GET; NUL-terminated */
};

/* The args file of EXEC (a memfd; longer than a message may be): this header, then NUL-terminated strings:
 * the working directory, argc arguments, envc variables. The child writes a failed step back into it. */
struct proto_args {
	int32_t error; /* errno of the step that failed before the program ran; 0: it runs */
	uint32_t step; /* enum proto_step */
};

enum proto_step { PROTO_STEP_SETUP, PROTO_STEP_CWD, PROTO_STEP_PROGRAM };

struct proto_reply {
	uint32_t op;
	int32_t error;	   /* errno; 0: done */
	int32_t status;	   /* EXITED: wait status; STATS: the request's flags; FORWARD: the port */
	int32_t processes; /* STATS: without init; EXITED: how many the sweep found running */
	int64_t cpu_us;	   /* EXITED: of this command; STATS: of everything since the start */
	int64_t memory;	   /* EXITED: largest resident size of one process; STATS: sum now; bytes */
	int64_t unlinked;  /* STATS: bytes on disk of open files without a name */
};
