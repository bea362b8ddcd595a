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
struct client_job {
	const struct strv *args; /* of `docker` or `podman` */
	const char *what;	 /* for people: what is being done */
	int log_fd;
	int64_t timeout_ms;
};

/* Run it against E. Each line it says is appended to the log and printed with "| " before it; TAIL gets the last 20. Once a
 * minute a line says that it still runs. -1 with ERR_INFRA when it fails, is missing, or takes too long (ERR_LIMIT). */
int client_run(const struct engine *e, const struct client_job *job, struct buf *tail,
	       struct err *err) MUST_CHECK;
