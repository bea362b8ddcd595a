/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * client.h -- the engine's own command line client, for what it alone does well: BuildKit, and the credentials of
 * private registries.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "base/strv.h"
#include "engine/http.h"

/* From now on a signal that ends this process, or the death of its parent, ends what client_run has started, too. */
void client_end_with_us(void);
/* Run `docker ARGS...` (or podman's) against E. Each line it says is appended to LOG_FD and printed with "| " before
 * it; TAIL gets the last 20. -1 with ERR_INFRA when it fails, is missing, or takes longer than an hour. */
int client_run(const struct engine *e, const struct strv *args, int log_fd, struct buf *tail,
	       struct err *err) MUST_CHECK;
