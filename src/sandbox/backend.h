/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * backend.h -- what the backends and the common part share: private to this room.
 */
#pragma once
#include "os/cgroup.h"
#include "sandbox/channel.h"
#include "sandbox/sandbox.h"

struct sandbox {
	const struct sandbox_backend *backend;
	struct sandbox_spec spec; /* a copy; what it points at is the caller's */
	struct channel channel;
	const struct cgroup *group; /* what it was opened with; path NULL: limits are watched */
	const char *workspace, *limits_held; /* static strings */
	char *top; /* without mounts: the path that stands for "/" of its own places; owned. NULL: none is needed */
	struct rights_way
		*way;	    /* to the scratch directory, where an agent is its owner's user; NULL */
	char isolation[64]; /* of a weaker one: what it is; "" */
	int64_t memory_max; /* bytes, of all samples so far */
	int64_t disk_files; /* below the scratch directory, as last measured */
	bool oom_killed;
	const struct strv
		*image_env; /* of a container: what a command's own environment lacks; else NULL */
	int service_args;   /* what the entry point was started with; 0: there is none */
	bool stopped;
};

extern const struct sandbox_backend sandbox_local, sandbox_docker, sandbox_landlock,
	sandbox_launcher;

/* run.c: sandbox_serve without the checks. */
int run_serve(struct sandbox *s, const struct sandbox_exec *x, int log_fd,
	      struct err *err) MUST_CHECK;
/* run.c: sandbox_exec without the checks. */
int run_command(struct sandbox *s, const struct sandbox_exec *x, struct sandbox_exit *out,
		struct err *err) MUST_CHECK;
