/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * node-gateway.h -- the gateway beside the workers of a node: one process for all trials of a job, which holds the keys that came in a
 * file, and is started with the first trial that asks a model. The file, 0600 in the rollout's folder (ROLLOUT_NODE_KEYS), is
 *
 *   v 1; document: what a gateway is started with (gatewaylink/gateway.h), its secret included; parallel: trials at once, of
 *   all nodes together
 *
 * What all of them may ask a provider at once is shared out: each gateway has the part of its own trials.
 */
#pragma once
#include <poll.h>
#include "gatewaylink/process.h"

struct node_gateway {
	struct gateway_process *process; /* NULL: not started */
	json_t *document;
	char *dir; /* below the cache; owned */
	int dir_fd;
};

/* FILE lies below DATA_FD, or is absolute. SIDE_BY_SIDE of its trials run here at once. Blocks until it is ready. */
int node_gateway_start(struct node_gateway *g, int cache_fd, int data_fd, const char *file,
		       int64_t side_by_side, struct err *err) MUST_CHECK;
/* The secret that tokens are made from; borrowed. */
const char *node_gateway_secret(const struct node_gateway *g);
/* End it. Safe on one that never started. */
void node_gateway_stop(struct node_gateway *g, int cache_fd);
