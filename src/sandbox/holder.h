/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * holder.h -- the process beside a local sandbox that owns its mounts. It runs in a user namespace in which
 * it may read and remove whatever an agent made of its files, and has no rights over anything else, and as
 * PID 1 of a PID namespace, so that nothing it started (bubblewrap, git) outlives it. It serves its worker
 * over a SOCK_SEQPACKET pair and dies with it.
 */
#pragma once
#include <stdint.h>
#include "base/err.h"
#include "os/spawn.h"
#include "sandbox/du.h"
#include "sandbox/inherited.h"
#include "sandbox/sandbox.h"

enum holder_op { HOLDER_READY, HOLDER_DU, HOLDER_APPLY, HOLDER_TIMES, HOLDER_DIFF, HOLDER_REMOVE };

struct holder_request {
	uint32_t op, seq;
	struct du limit;     /* DU: it may stop counting there */
	int64_t deadline_ms; /* as clock_for_others_ms tells it */
};

/* With the descriptor of a text: why a patch was refused; or the ignored, then the skipped paths, then the
 * times of a diff, NUL-terminated. */
struct holder_reply {
	uint32_t op, seq;
	int32_t failed; /* err is set */
	bool overlay, refused, truncated;
	uint32_t cache_overlays; /* READY: as struct rootfs has them */
	int64_t bytes, took_ms;	 /* DU, DIFF */
	int64_t lines_added, lines_removed, files;
	uint64_t ignored_n, skipped_n, times_n, hooks_n;
	struct err err;
};

struct holder_start {
	const struct sandbox_spec *spec;
	struct sandbox_inherited *inherited;
	int serve;  /* its end of the pair */
	int ctl;    /* what PID 1 inherits */
	int errors; /* bubblewrap's standard error */
	/* Where no namespaces are to be had: the data root's path. Then the holder has the worker's rights alone, mounts
	 * nothing, and ends what its PID 1 leaves. NULL: all that is said above. */
	const char *plain_root;
};

#define HOLDER_INIT_NAME "/.rollouts/init" /* what it starts PID 1 as, whatever its path */

/* Fork it. It reports with one HOLDER_READY reply on its socket, which brings, for a container, a detached mount of each of its
 * overlays, the workspace's first, and then waits for requests. The caller reaps. */
int holder_fork(struct child *out, const struct holder_start *k, struct err *err) MUST_CHECK;
