/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * init.h -- the parts of rollouts-init. All of them run in PID 1's one thread and none may block on
 * anything the sandbox controls.
 */
#pragma once
#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>
#include "init/proto.h"

/* exec.c: fork and exec. Closes nothing of FDS. Returns the pid or -1 with errno. */
pid_t exec_start(const struct proto_request *req, const int fds[PROTO_FDS]);

/* service.c: one entry point. service_start returns 0 or an errno. */
int service_start(const struct proto_request *req, const int fds[PROTO_FDS]);
void service_reaped(pid_t pid); /* told of each child that has ended */
void service_is_ready(void);
void service_tell(struct proto_reply *out);
bool service_runs(void);
/* End the process ROOT, a child of ours, and all that descends from it: stopped first, so that nothing of it gets away by forking. What was
 * abandoned before is not of its tree. */
void service_kill_tree(pid_t root);
/* Whether the process NAME, an entry of /proc, is more than a corpse. */
bool service_is_alive(const char *name);
/* SIGKILL for each process that is neither ours nor the service's. Returns how many it met. */
int service_kill_others(void);

/* confine.c: a sandbox without namespaces. Until confine() has been called nothing of it holds. */
int confine(const struct proto_request *req, const int fds[PROTO_FDS]); /* 0 or an errno */
bool confine_is_on(void);
void confine_oom_score(bool raised);	/* around the fork of a command: it goes before us */
int confine_command(void);		/* in the child, last before exec; -1 with errno */
void confine_kill_all(void);		/* every process but us; not yet reaped */
uint64_t confine_nproc(uint64_t nproc); /* what to set for NPROC processes of the sandbox */
void confine_look(void);		/* for what follows: */
bool confine_is_ours(const char *pid);	/* not PID 1, and no other's */

/* filter.c: in the child, once it can gain no privileges; -1 with errno. UNTRACED: nobody traces anybody. */
int filter_command(bool untraced);

/* files.c: 0 or an errno; file_get returns the descriptor or -1 with errno. */
int file_root(int fd, const char *path); /* from now on all paths lie below PATH, which FD is */
int file_put(const char *path, mode_t mode, int content);
int file_get(const char *path);

/* The folder PATH, made as needed, with MODE; FRESH: empty. */
int file_folder(const char *path, mode_t mode, bool fresh);
/* Remove what is in the folder PATH but what is mounted there. None is well. */
int file_empty(const char *path);

/* helper.c: this program as a command in its own sandbox, with its own arguments. Returns the exit status. */
int helper_run(int argc, char **argv);

/* stats.c */
void stats_read(struct proto_reply *out, bool precise);
int64_t stats_children_cpu_us(void); /* of everything reaped so far */

/* forwarder.c: forwards 127.0.0.1:PORT to a unix socket inside the poll loop. */
#define FORWARDER_CONNECTIONS 64
#define FORWARDER_POLLFDS (1 + 2 * FORWARDER_CONNECTIONS)
/* 0 or an errno; one forwarder. *PORT 0 becomes one that is free. SOCKET, of which a copy is kept, was opened by its path, which
 * commands do not have: nobody but PID 1 connects to it. */
int forwarder_open(unsigned *port, int socket);
size_t forwarder_poll_add(struct pollfd *pfds, int *timeout_ms);
void forwarder_poll_done(const struct pollfd *pfds);
