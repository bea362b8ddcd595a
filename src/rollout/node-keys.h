/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * node-keys.h -- the file by which keys reach gateways on other machines (node/node-gateway.h). It is there while a rollout runs.
 */
#pragma once
#include "rollout/session.h"
#include "sched/sched.h"

/* Where some trial of W asks a model elsewhere: write it; *PATH, owned by the caller, is where it is below the data folder. NULL: none
 * does. PARALLEL: trials at once. The document of W has its secret by now. */
int node_keys_write(char **path, const struct session *s, const struct session_work *w,
		    int parallel, struct err *err) MUST_CHECK;
/* The same for the one by which nodes reach the gateway here, whose sockets O has. */
int node_door_write(char **path, const struct session *s, const struct session_work *w,
		    const struct sched_options *o, struct err *err) MUST_CHECK;
void node_keys_remove(const struct session *s);
